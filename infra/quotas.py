"""What an environment needs of SageMaker's quotas, by their names in Service Quotas; new accounts have 0 of most."""

from infra.config import Config, RealTime


def quotas(config: Config) -> dict[str, int]:
    """Return the number of instances that must be allowed, by the name of the quota."""
    training, needed = config.training, {}
    kind = "spot training job" if training.spot else "training job"
    for instance in filter(None, (training.instance, training.gpu_instance)):
        needed[f"{instance} for {kind} usage"] = training.instances
        if training.warm_minutes:
            needed[f"{instance} for training warm pool usage"] = training.instances
    needed[f"{training.instance} for processing job usage"] = 1
    if isinstance(config.serving, RealTime):
        # while an update is under way, the new instances stand beside the old ones
        needed[f"{config.serving.instance} for endpoint usage"] = 2 * config.serving.max_instances
    return needed
