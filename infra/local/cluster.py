"""The metadata of every object in the cluster: its name, its namespace, and the labels that find it again."""

from typing import Any

import pulumi

from infra.names import Names

PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"


def labels(names: Names, component: str) -> dict[str, str]:
    """Return the labels of every object; ``make local-down`` removes the objects with the first of them."""
    return {
        PART_OF: names.project,
        COMPONENT: component,
        "app.kubernetes.io/name": component,
        "app.kubernetes.io/instance": names.prefix,
        "app.kubernetes.io/managed-by": "pulumi",
    }


def metadata(names: Names, component: str, name: str | None = None, **annotations: str) -> dict[str, Any]:
    """Return the metadata of an object in the environment's namespace; its name is the component's unless given."""
    made = {"name": name or component, "namespace": names.prefix, "labels": labels(names, component)}
    return {**made, "annotations": annotations} if annotations else made


def selector(names: Names, *components: str) -> dict[str, Any]:
    """Return the selector of some components' pods."""
    if len(components) == 1:
        return {"matchLabels": {PART_OF: names.project, COMPONENT: components[0]}}
    chosen = {"key": COMPONENT, "operator": "In", "values": list(components)}
    return {"matchLabels": {PART_OF: names.project}, "matchExpressions": [chosen]}


def within(component: pulumi.ComponentResource, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """Return options that make a component's objects wait for its dependencies; else only the component waits."""
    return pulumi.ResourceOptions(parent=component, depends_on=opts.depends_on if opts else None)


def host(names: Names, service: str) -> str:
    """Return the name of a service in the cluster's DNS."""
    return f"{service}.{names.prefix}.svc"
