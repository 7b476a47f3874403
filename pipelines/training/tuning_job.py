"""The same search as a SageMaker tuning job: its ``HyperParameterTuningJobConfig``, from ``problem.toml`` alone.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_HyperParameterTuningJobConfig.html
"""

from typing import Any

from pipelines.config import Options, ProblemConfig, Range, Scalar, Space, UserError, nearest

_RUNTIME = (120, 15_768_000)  # seconds that SageMaker takes for MaxRuntimeInSeconds


def tuning_job(config: ProblemConfig, estimator: str, workers: int = 1) -> dict[str, Any]:
    """Return the configuration of a tuning job; every number in it is text, as the API has it.

    Money becomes running time, which SageMaker can limit: what all workers may compute for it, shared among them.

    Raises:
        UserError: when the problem states no search for the estimator, or too short a one for SageMaker.
    """
    training = config.training
    if estimator not in training.search:
        raise UserError(f"problem.toml states no [training.search.{estimator}]; {nearest(estimator, training.search)}")
    budget = training.budget
    paid = budget.worker_seconds
    runtime = int(min(budget.minutes * 60, paid / workers if paid is not None else budget.minutes * 60))
    if runtime < _RUNTIME[0]:
        raise UserError(f"training.budget allows {runtime} s; a SageMaker tuning job needs at least {_RUNTIME[0]} s")
    return {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {
            "Type": "Minimize",  # every metric that candidates are compared by is a loss
            "MetricName": config.gates.champion_comparison.metric,
        },
        "ResourceLimits": {
            "MaxNumberOfTrainingJobs": budget.trials,
            "MaxParallelTrainingJobs": min(workers, budget.trials),
            "MaxRuntimeInSeconds": min(runtime, _RUNTIME[1]),
        },
        "ParameterRanges": parameter_ranges(training.search[estimator]),
        "RandomSeed": training.seed,
        "TrainingJobEarlyStoppingType": "Auto",
    }


def parameter_ranges(space: Space) -> dict[str, list[dict[str, Any]]]:
    """Return the ranges of a space by SageMaker's kinds of parameter."""
    ranges: dict[str, list[dict[str, Any]]] = {
        "IntegerParameterRanges": [],
        "ContinuousParameterRanges": [],
        "CategoricalParameterRanges": [],
    }
    for name, allowed in space.items():
        if isinstance(allowed, Options):
            ranges["CategoricalParameterRanges"].append({"Name": name, "Values": list(map(as_text, allowed.values))})
        else:
            kind = "IntegerParameterRanges" if allowed.whole else "ContinuousParameterRanges"
            ranges[kind].append(_range(name, allowed))
    return ranges


def as_text(value: Scalar) -> str:
    """Return a value as the text of a hyperparameter."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _range(name: str, allowed: Range) -> dict[str, str]:
    scaling = "Logarithmic" if allowed.log else "Linear"
    return {"Name": name, "MinValue": str(allowed.low), "MaxValue": str(allowed.high), "ScalingType": scaling}
