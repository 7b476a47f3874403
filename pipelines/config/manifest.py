"""The manifest of a candidate model: everything needed to trust, serve and reproduce it."""

import hashlib
import json
from datetime import datetime
from typing import Literal

from pydantic import Field

from pipelines.config.features import FeatureType
from pipelines.config.problem import Column, Task
from pipelines.config.serving import Default
from pipelines.config.strict import StrictModel


class GateResult(StrictModel):
    """One gate's verdict on a candidate, with the numbers behind it."""

    gate: str
    passed: bool
    reason: str
    values: dict[str, float] = Field(default_factory=dict)


class Code(StrictModel):
    """The code that made the candidate: the commit, whether the work tree differed from it, and the locked packages."""

    commit: str
    modified: bool
    lock_sha256: str
    problem_sha256: str

    @property
    def label(self) -> str:
        """The commit for people, such as ``5f191a2c0d3e`` or ``5f191a2c0d3e, modified``."""
        return self.commit[:12] + (", modified" if self.modified else "")


class FeatureVersions(StrictModel):
    """The definitions behind the features: each view's version, the request features', defaults of missing values.

    ``module`` defines them; its source is among the model's files. Empty where a model does not carry any.
    """

    views: dict[str, str]
    request: str
    defaults: dict[str, Default] = Field(default_factory=dict)
    module: str = ""


class Period(StrictModel):
    """A time span without its end, and how many of its rows were used."""

    start: datetime
    end: datetime
    rows: int


class Example(StrictModel):
    """One row of features and the prediction it must give: the warm-up check before a model takes traffic."""

    features: dict[str, float | str | None]
    prediction: float


class Manifest(StrictModel):
    """A candidate, identified by the SHA-256 of this document's canonical JSON.

    ``files`` holds the SHA-256 of each file beside the manifest, so that one digest vouches for all of them.
    ``data`` maps each table to the Iceberg snapshot that was read.
    """

    schema_version: Literal[1] = 1
    problem: str
    task: Task
    run_id: str
    created: datetime
    reason: str
    estimator: str
    settings: dict[str, str | int | float | bool]
    code: Code
    data: dict[str, int]
    feature_versions: FeatureVersions
    features: dict[str, FeatureType]
    request_schema: dict[str, Column]
    periods: dict[str, Period]
    metrics: dict[str, dict[str, float]]
    champion_model: str | None
    gates: tuple[GateResult, ...]
    example: Example
    files: dict[str, str]

    @property
    def feature_pins(self) -> dict[str, str]:
        """The version of each feature view, and of the ``request`` features."""
        return {**self.feature_versions.views, "request": self.feature_versions.request}

    @property
    def request_schema_sha256(self) -> str:
        """The SHA-256 of the request schema's canonical JSON."""
        schema = {
            name: column.model_dump(mode="json", exclude={"default", "renamed_from"})
            for name, column in self.request_schema.items()
        }
        return hashlib.sha256(json.dumps(schema, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def accepted(self) -> bool:
        """Whether the candidate was judged and passed every gate."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)
