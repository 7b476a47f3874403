"""The manifest of a Job: the stack's template with the command of a run."""

from copy import deepcopy
from typing import Any, NamedTuple

SERVICE = "training"
"""The headless Service by which nodes that train together find the first."""


class Work(NamedTuple):
    """The work of a Job: its name, the pipeline, the run, and how many pods train together."""

    name: str
    pipeline: str
    run_id: str
    machines: int = 1


def filled(template: dict[str, Any], work: Work) -> dict[str, Any]:
    """Return the manifest of the Job; the template's one container runs the work."""
    job = deepcopy(template)
    labels = {"pipeline": work.pipeline, "run": work.name}
    pod = job["spec"]["template"]
    for metadata in (job.setdefault("metadata", {}), pod.setdefault("metadata", {})):
        metadata["labels"] = {**metadata.get("labels", {}), **labels}
        metadata["annotations"] = {**metadata.get("annotations", {}), "run-id": work.run_id}
    job["metadata"]["name"] = work.name
    (container,) = pod["spec"]["containers"]
    what = ["train"] if work.machines > 1 else ["run", work.pipeline]
    container["command"] = ["job", *what, "--run-id", work.run_id]
    if work.machines > 1:
        _together(job["spec"], container, work)
    return job


def _together(spec: dict[str, Any], container: dict[str, Any], work: Work) -> None:
    """Turn the manifest into an Indexed Job, whose pods each have a number and a name, and meet at the first."""
    spec |= {"completionMode": "Indexed", "completions": work.machines, "parallelism": work.machines}
    spec["template"]["spec"]["subdomain"] = SERVICE
    given = {"RATCHET_NUM_NODES": str(work.machines), "RATCHET_MASTER_ADDR": f"{work.name}-0.{SERVICE}"}
    container["env"] = [*container.get("env", []), *({"name": name, "value": value} for name, value in given.items())]
