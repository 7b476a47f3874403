"""The vocabulary of the project: problems, features, manifests, releases, pipelines. Imports nothing heavy."""

from pipelines.spec.cloud import Cloud
from pipelines.spec.errors import Refused, UserError, nearest
from pipelines.spec.features import CATEGORICAL, NUMERIC, FeatureType, FeatureView, RequestFeatures
from pipelines.spec.manifest import Code, Example, FeatureVersions, GateResult, Manifest, Period
from pipelines.spec.pipeline import Pipeline, RunInfo, Step, StepRecord
from pipelines.spec.problem import (
    METRICS,
    ROW_LOSSES,
    Bound,
    Column,
    Estimator,
    Problem,
    RawTable,
    Statement,
    Task,
)
from pipelines.spec.release import (
    AbTest,
    Action,
    AllAtOnce,
    BlueGreen,
    CanaryStrategy,
    Phase,
    ReleaseEntry,
    ReleaseFile,
    ReleaseState,
    Routing,
    Shadow,
    Strategy,
    Variant,
)
from pipelines.spec.serving import Default, Serving, ViewPolicy
from pipelines.spec.stack import Stack
from pipelines.spec.strict import Duration, Strict, format_duration, load_toml, parse_toml

__all__ = [
    "CATEGORICAL",
    "METRICS",
    "NUMERIC",
    "ROW_LOSSES",
    "AbTest",
    "Action",
    "AllAtOnce",
    "BlueGreen",
    "Bound",
    "CanaryStrategy",
    "Cloud",
    "Code",
    "Column",
    "Default",
    "Duration",
    "Estimator",
    "Example",
    "FeatureType",
    "FeatureVersions",
    "FeatureView",
    "GateResult",
    "Manifest",
    "Period",
    "Phase",
    "Pipeline",
    "Problem",
    "RawTable",
    "Refused",
    "ReleaseEntry",
    "ReleaseFile",
    "ReleaseState",
    "RequestFeatures",
    "Routing",
    "RunInfo",
    "Serving",
    "Shadow",
    "Stack",
    "Statement",
    "Step",
    "StepRecord",
    "Strategy",
    "Strict",
    "Task",
    "UserError",
    "Variant",
    "ViewPolicy",
    "format_duration",
    "load_toml",
    "nearest",
    "parse_toml",
]
