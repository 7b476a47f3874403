"""Each rule for the cluster finds what violates it, and finds nothing in the local environment."""

import copy
import json
import types

import pytest

from infra.policies import pods, rules
from infra.resource import Resource
from tests.infra.locally import local

pytestmark = pytest.mark.infra

CONTAINER = {
    "name": "it",
    "image": "app:1",
    "securityContext": {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    },
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
}  # fmt: skip
POD = {
    "serviceAccountName": "it",
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [],
}
LABELS = {"labels": {"app.kubernetes.io/part-of": "thing", "app.kubernetes.io/component": "it"}}


def workload(kind="Deployment", pod=None, **container):
    spec = {**POD, **(pod or {}), "containers": [{**CONTAINER, **container}]}
    whole = (
        {"template": {"spec": spec}}
        if kind == "Deployment"
        else {"jobTemplate": {"spec": {"template": {"spec": spec}}}}
    )
    return Resource(f"kubernetes:apps/v1:{kind}", "it", props={"metadata": LABELS, "spec": whole})


def without(path):
    """Return a container without a part, such as ``securityContext.capabilities``."""
    made = copy.deepcopy(CONTAINER)
    *outer, last = path.split(".")
    inner = made
    for part in outer:
        inner = inner[part]
    del inner[last]
    return made


def role(**rule):
    whole = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], **rule}
    return Resource("kubernetes:rbac.authorization.k8s.io/v1:Role", "it", props={"metadata": LABELS, "rules": [whole]})


def template(container):
    job = {"spec": {"template": {"spec": {**POD, "containers": [container]}}}}
    return Resource(
        "kubernetes:core/v1:ConfigMap", "job", props={"metadata": LABELS, "data": {"job.json": json.dumps(job)}}
    )


VIOLATIONS = [
    (pods.unprivileged, workload(pod={"securityContext": {"runAsNonRoot": True}}), "may run as root"),
    (pods.unprivileged, workload(pod={"securityContext": {"runAsUser": 1, "runAsNonRoot": False}}), "may run as root"),
    (pods.unprivileged, workload(**without("securityContext.allowPrivilegeEscalation")), "may gain privileges"),
    (pods.unprivileged, workload(securityContext={**CONTAINER["securityContext"], "privileged": True}), "gain"),
    (pods.unprivileged, workload("CronJob", **without("securityContext.capabilities")), "has capabilities"),
    (pods.unprivileged, workload(pod={"securityContext": {}}), "every system call"),
    (pods.read_only_root, workload(**without("securityContext.readOnlyRootFilesystem")), "may write to its root"),
    (pods.read_only_root, template(without("securityContext.readOnlyRootFilesystem")), "job.json 'job' may write"),
    (pods.limited, workload(**without("resources.limits.memory")), "has no limits of memory"),
    (pods.limited, workload("CronJob", **without("resources.requests")), "has no requests of cpu and memory"),
    (pods.apart_from_the_node, workload(pod={"hostNetwork": True}), "hostNetwork"),
    (pods.apart_from_the_node, workload(pod={"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "hostPath /"),
    (pods.apart_from_the_node, workload(ports=[{"containerPort": 80, "hostPort": 80}]), "hostPort 80"),
    (pods.pinned_images, workload(image="app:latest"), "app:latest"),
    (pods.pinned_images, workload(image="registry:5000/app"), "another image tomorrow"),
    (pods.narrow_roles, role(verbs=["*"]), "allows too much: *"),
    (pods.narrow_roles, role(resources=["secrets"]), "allows too much: secrets"),
    (pods.narrow_roles, Resource("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding", "it"), "beyond"),
    (pods.narrow_roles, workload(pod={"serviceAccountName": "default"}), "default service account"),
    (pods.labelled, Resource("kubernetes:core/v1:Service", "it", props={"metadata": {}}), "lacks the labels"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "resource", "said"), VIOLATIONS)
def test_a_violation_is_found_and_said(rule, resource, said):
    assert any(said in line for line in rule([resource]))


def test_each_rule_has_a_violation():
    assert {rule for rule, _, _ in VIOLATIONS} == set(pods.RULES)


def test_what_violates_none_is_not_reported():
    assert [
        line for rule in pods.RULES for line in rule([workload(), workload("CronJob"), role(), template(CONTAINER)])
    ] == []


def test_the_local_environment_violates_none_and_is_held_to_these_rules():
    assert rules.rules_of(local()) == rules.LOCAL
    assert rules.violations(local()) == []
    assert len(list(pods._containers(local()))) == 10  # six servers, three schedules, the template of Jobs


def test_the_policy_pack_holds_the_local_environment_to_its_own_rules():
    from infra.policies.__main__ import policy

    def seen(one):
        options = types.SimpleNamespace(protect=False)
        return types.SimpleNamespace(
            resource_type=one.type, name=one.name, urn="urn", props=one.props, provider=None, opts=options
        )

    resources = [seen(Resource("mlops:infra:LocalEnvironment", "it")), seen(workload(image="app:latest"))]
    reported = []
    for rule in (pods.pinned_images, rules.budgeted):
        policy(rule).validate(types.SimpleNamespace(resources=resources), lambda line, urn: reported.append(line))
    assert len(reported) == 1 and "app:latest" in reported[0]
