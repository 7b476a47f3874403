"""The SageMaker quotas that an environment needs, by their names in Service Quotas; new accounts have 0 of most."""

from pipelines.contracts.stack import TrainingResources


def quotas(training: TrainingResources, endpoint: str | None = None, max_instances: int = 0) -> dict[str, int]:
    """Return the number of instances that must be allowed, by the name of the quota.

    Args:
        training: the jobs.
        endpoint: the type of a real-time endpoint's instances; None for a serverless one, or where there is none.
        max_instances: of that endpoint.
    """
    kind, needed = "spot training job" if training.spot else "training job", {}
    for instance in filter(None, (training.instance, training.gpu_instance)):
        needed[f"{instance} for {kind} usage"] = training.instances
        if training.warm_minutes:
            needed[f"{instance} for training warm pool usage"] = training.instances
    needed[f"{training.instance} for processing job usage"] = 1
    if endpoint:
        needed[f"{endpoint} for endpoint usage"] = 2 * max_instances  # an update runs beside the old instances
    return needed
