"""The problem: what ``model/`` states in ``problem.toml`` and in Python, and how the engine reads it.

A problem is a package with ``problem.toml`` (this schema), ``source.py`` (``read``), ``features.py`` (``VIEWS``,
``REQUEST_FEATURES``) and ``estimators.py`` (``ESTIMATORS``). The engine knows a problem through :class:`Problem`
alone, so replacing ``model/`` replaces the problem and changes nothing else.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, Self, runtime_checkable

from pydantic import Field, model_validator

from pipelines.config import reserved
from pipelines.config.errors import UserError, nearest
from pipelines.config.features import FeatureType, FeatureView, RequestFeatures, resolved
from pipelines.config.limits import INTEGER_LIMIT
from pipelines.config.search import Budget, Space
from pipelines.config.serving import Default, ServingConfig, ViewPolicy
from pipelines.config.strict import Duration, StrictModel, load_toml

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Positive = Annotated[float, Field(gt=0)]
Scalar = str | int | float | bool


ENTITY_TYPES = ("string", "integer", "boolean")
"""The types of columns that may be an entity: others are not exactly equal to themselves in every store."""


class Task(StrEnum):
    """What is predicted: the probability of an event, or a quantity."""

    BINARY = "binary_classification"
    REGRESSION = "regression"


METRICS: Mapping[Task, Mapping[str, Literal["lower", "higher"]]] = {
    Task.BINARY: {
        "log_loss": "lower",
        "brier": "lower",
        "expected_cost": "lower",
        "calibration_error": "lower",
        "roc_auc": "higher",
        "average_precision": "higher",
    },
    Task.REGRESSION: {
        "rmse": "lower",
        "mae": "lower",
        "expected_cost": "lower",
        "r2": "higher",
    },
}
"""The metrics of each task, and in which direction each is better; ``monitoring.metrics`` computes them."""

ROW_LOSSES: Mapping[Task, tuple[str, ...]] = {
    Task.BINARY: ("log_loss", "brier", "expected_cost"),
    Task.REGRESSION: ("rmse", "mae", "expected_cost"),
}
"""The metrics that are a mean over rows (the rmse: its square), and so can be compared row by row."""


_PYTHON_TYPES = {"string": str, "float": int | float, "integer": int, "boolean": bool, "timestamp": datetime}


class Column(StrictModel):
    """A column of a raw table, and what is expected of every value in it.

    Rows that are older than the column have its ``default``, or null where it is nullable. ``renamed_from`` is the
    name under which the table has it until ``mlops data migrate``.
    """

    type: Literal["string", "float", "integer", "boolean", "timestamp"]
    description: str = ""
    example: Scalar | datetime | None = None
    nullable: bool = False
    unique: bool = False
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] | None = None
    personal: bool = False
    default: Scalar | datetime | None = None
    renamed_from: Name | None = None

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if self.default is None:
            return self
        if self.nullable or self.unique:
            raise ValueError("'default' is for a column that is neither nullable nor unique: older rows all have it")
        boolean = isinstance(self.default, bool) == (self.type == "boolean")  # which Python counts among integers
        if not (boolean and isinstance(self.default, _PYTHON_TYPES[self.type])):
            raise ValueError(f"the default {self.default!r} is no {self.type}")
        return self

    @model_validator(mode="after")
    def _rules_fit(self) -> Self:
        if self.type not in ("float", "integer") and (self.min, self.max) != (None, None):
            raise ValueError(f"'min' and 'max' bound numbers, not a {self.type}")
        for bound in (self.min, self.max):
            if bound is not None and not isfinite(bound):
                raise ValueError(f"{bound} is no bound; leave it out")
            if bound is not None and self.type == "integer" and abs(bound) > INTEGER_LIMIT:
                raise ValueError(f"an integer lies within {-INTEGER_LIMIT:,} and {INTEGER_LIMIT:,}, not at {bound:g}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"'min' {self.min:g} is above 'max' {self.max:g}, so no value is allowed")
        if self.values is not None and (self.type != "string" or not self.values):
            raise ValueError("'values' lists the texts of a string column, one at least")
        return self


class RawTable(StrictModel):
    """Rows as the source delivers them; each belongs to the UTC day of its ``event_time``.

    ``corrections`` says what training reads of rows that were corrected later: the values "as_known" when a request
    was made, or the "corrected" ones, which nobody had then. ``quarantine`` is the share of a day's rows that may break
    the contract: these go into quarantine. When they are more, the ingest is refused.
    """

    description: str
    event_time: str
    columns: dict[Name, Column]
    min_rows_per_day: int = Field(default=0, ge=0)
    corrections: Literal["as_known", "corrected"] = "as_known"
    quarantine: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Business(StrictModel):
    """Why the model exists, who answers for it, and what its errors cost in money.

    A classifier states the cost of a false alarm and of a miss; a regression the cost of one unit predicted too
    much (``over``) and too little (``under``).
    """

    goal: str
    owner: str
    currency: str = "USD"
    false_alarm: Positive | None = None
    miss: Positive | None = None
    over: Positive | None = None
    under: Positive | None = None


class Request(StrictModel):
    """One request is one row of this raw table; ``key`` names it and joins its label to it later."""

    table: str
    key: str


class Label(StrictModel):
    """The ground truth for a request: an SQL expression over a raw table, known at that table's event time.

    ``delay`` is how long after the request a label is due. A later one still counts when it arrives; the monitors
    report the share of due labels that have arrived.
    """

    description: str
    table: str
    sql: str
    delay: Duration


class TrainingConfig(StrictModel):
    """How a candidate is trained: ``validation`` chooses it, ``test`` after that, up to the cut-off, judges it.

    ``search`` states, by estimator, what ``mlops sweep`` may vary, within ``budget``. ``networks`` are the estimators
    that train on a GPU where the environment has one, and on several machines together.
    """

    estimators: tuple[str, ...] = Field(min_length=1)
    networks: tuple[str, ...] = ()
    settings: dict[str, dict[str, Scalar]] = Field(default_factory=dict)
    search: dict[str, Space] = Field(default_factory=dict)
    budget: Budget = Budget()
    history: Duration | None = None
    validation: Duration
    test: Duration
    seed: int = 0


class Bound(StrictModel):
    """A metric's limit; one side or both."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a bound needs 'min', 'max' or both")
        return self


class ChampionComparison(StrictModel):
    """The candidate must beat the champion's ``metric`` with this confidence, by a paired bootstrap over ``block``s."""

    metric: str
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    resamples: int = Field(default=2000, ge=100)
    block: Duration
    min_rows: int = Field(default=500, ge=1)


class OnnxParity(StrictModel):
    """The largest difference allowed between the trained estimator and the ONNX file made from it."""

    tolerance: Positive = 1e-4


class Skew(StrictModel):
    """How many of ``rows`` requests may have a different feature value online than offline."""

    rows: int = Field(default=200, ge=1)
    max_share: Share = 0.0
    tolerance: Positive = 1e-5


class Gates(StrictModel):
    """The gates that a candidate must pass before anyone can propose it."""

    absolute_quality: dict[str, Bound] = Field(min_length=1)
    champion_comparison: ChampionComparison
    onnx_parity: OnnxParity = OnnxParity()
    training_serving_skew: Skew = Skew()


class Monitoring(StrictModel):
    """When the monitors raise an alarm about the champion, over the last ``window`` of requests.

    ``performance`` bounds metrics of labelled predictions; ``bias`` is the mean prediction minus the mean label.
    ``psi`` is the population stability index above which a feature has drifted, ``drifted_share`` the share of the
    features that may drift. Below ``min_predictions`` chance alone moves the index, so drift is not judged.
    A feature's data counts as broken where the share of its missing values is more than ``missing_rise`` above that in
    training, or the share of categories that training did not have more than ``unseen_rise``.
    """

    window: Duration
    min_labels: int = Field(ge=1)
    performance: dict[str, Bound] = Field(default_factory=dict)
    min_predictions: int = Field(default=1000, gt=0)
    psi: Positive = 0.25
    drifted_share: Share = 0.5
    missing_rise: Share = 0.2
    unseen_rise: Share = 0.2
    min_label_coverage: Share = 0.8


class ContinuousTraining(StrictModel):
    """What asks for a training besides alarms and people, and how often one may start.

    Attributes:
        cooldown: how long after one automatic training the next may start.
        monthly: how many automatic trainings may start within 30 days; None for as many as the cooldown lets.
        every: how old the data of the latest model may be; None asks for no training by the calendar.
        new_labels: how many labels that the latest model has not seen ask for a training; None for however many.
    """

    cooldown: Duration
    monthly: int | None = Field(default=None, ge=1)
    every: Duration | None = None
    new_labels: int | None = Field(default=None, ge=1)


class Canary(StrictModel):
    """The strategy of a release that says nothing else: growing shares of the traffic, each for ``bake``."""

    steps: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.2,)
    bake: Duration


class CanaryAnalysis(StrictModel):
    """What ends a live release early, and what it needs to go on.

    A challenger fails when it is shown to fail more than ``max_error_rate`` of its requests; to be slower than
    ``slower`` times the champion's 95th percentile and than ``latency_ms`` in more than 5 % of them; to predict
    otherwise by more than ``max_shift``, the Kolmogorov-Smirnov distance of the predictions; or to have the worse
    metric, that of the champion comparison. All that with ``confidence``: how likely a challenger that is like its
    champion is not failed, however often one looks. ``min_predictions`` of each variant are needed; a step that lacks
    them for ``patience`` after its due end ends the release.
    """

    min_predictions: int = Field(default=200, ge=2)
    patience: Duration = timedelta(days=7)
    max_error_rate: Share = 0.01
    slower: Positive = 2.0
    latency_ms: Positive = 50.0
    max_shift: Share = 0.5
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.99


class FeatureRetention(StrictModel):
    """For how long the features of a model that has left service stay fresh, so that it may return."""

    retire_after: Duration = timedelta(days=30)


class ReplayPlan(StrictModel):
    """What ``mlops demo`` replays: history up to ``start``, then request after request until ``end``.

    On the day ``bad_release`` a release goes out that passed no gate and fails where the numeric feature
    ``bad_release_feature`` is high, to show the rollback. ``judge_every`` is the number of requests between two looks
    at a canary.
    """

    history: date
    start: date
    end: date
    fast_end: date
    bad_release: date
    bad_release_feature: str
    request_every: Duration
    ingest_every: Duration
    monitor_every: Duration
    judge_every: int = Field(default=6, ge=1)


def _check_table(name: str, table: RawTable) -> None:
    if table.event_time not in table.columns:
        raise ValueError(f"tables.{name}.event_time: {nearest(table.event_time, table.columns)}")
    time = table.columns[table.event_time]
    if time.type != "timestamp" or time.nullable:
        raise ValueError(
            f"tables.{name}.event_time: {table.event_time!r} says to which day a row belongs, so it is a "
            "timestamp that is not nullable"
        )
    if time.default is not None or time.renamed_from is not None:
        raise ValueError(
            f"tables.{name}.event_time: a table is partitioned by {table.event_time!r}, so it has neither default nor "
            "'renamed_from'; ingest the days into a table of another name"
        )
    former = [column.renamed_from for column in table.columns.values() if column.renamed_from is not None]
    for column in sorted({*former} & {*table.columns}):
        raise ValueError(f"tables.{name}: {column!r} is a column, so no other is renamed from it")
    for column in sorted(column for column in {*former} if former.count(column) > 1):
        raise ValueError(f"tables.{name}: more than one column is renamed from {column!r}")
    for column in sorted({*reserved.RAW, *reserved.QUARANTINE} & {*table.columns}):
        raise ValueError(f"tables.{name}: the name {column!r} is the engine's own; rename the column")


class ProblemConfig(StrictModel):
    """The problem as ``problem.toml`` states it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    task: Task
    business: Business
    tables: dict[Name, RawTable]
    request: Request
    label: Label
    slices: tuple[str, ...] = ()
    training: TrainingConfig
    gates: Gates
    monitoring: Monitoring
    continuous_training: ContinuousTraining
    canary: Canary
    canary_analysis: CanaryAnalysis = CanaryAnalysis()
    serving: ServingConfig = ServingConfig()
    features: FeatureRetention = FeatureRetention()
    replay: ReplayPlan | None = None

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name, table in self.tables.items():
            _check_table(name, table)
        for where, name in (("request.table", self.request.table), ("label.table", self.label.table)):
            if name not in self.tables:
                raise ValueError(f"{where}: no table {name!r}; {nearest(name, self.tables)}")
        for where, name in (("request", self.request.table), ("label", self.label.table)):
            if self.request.key not in self.tables[name].columns:
                raise ValueError(f"{where}: table {name!r} has no column {self.request.key!r} to join on")
            key = self.tables[name].columns[self.request.key]
            if key.type != "string" or key.personal or key.nullable:
                raise ValueError(
                    f"{where}: the key {self.request.key!r} is logged, so a string, not personal, not nullable"
                )
        try:
            reserved.refuse(f"tables.{self.request.table}: the column", self.request_columns, reserved.REQUEST)
        except UserError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _task_fits(self) -> Self:
        money = self.business.model_dump(include={"false_alarm", "miss", "over", "under"}, exclude_none=True)
        wanted = {"false_alarm", "miss"} if self.task is Task.BINARY else {"over", "under"}
        if set(money) != wanted:
            raise ValueError(f"business: a {self.task.value} problem states exactly {' and '.join(sorted(wanted))}")
        known = {**METRICS[self.task], "bias": ""}
        for where, names in (
            ("gates.absolute_quality", self.gates.absolute_quality),
            ("monitoring.performance", self.monitoring.performance),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{where}: no metric {name!r} for {self.task.value}; {nearest(name, known)}")
        metric = self.gates.champion_comparison.metric
        if metric not in ROW_LOSSES[self.task]:
            raise ValueError(f"gates.champion_comparison.metric: {metric!r}; {nearest(metric, ROW_LOSSES[self.task])}")
        return self

    @property
    def request_columns(self) -> Mapping[str, Column]:
        """The fields that a request carries."""
        return self.tables[self.request.table].columns

    @property
    def event_time(self) -> str:
        """The request field that says when the prediction is asked for."""
        return self.tables[self.request.table].event_time

    @property
    def key(self) -> str:
        """The request field that names the request and joins its label to it."""
        return self.request.key


class Source(Protocol):
    """Where raw rows come from."""

    def __call__(self, table: str, start: datetime, end: datetime) -> "pa.Table":
        """Return the rows of ``table`` whose event time lies in ``[start, end)``, with the declared columns."""


class Estimator(Protocol):
    """An estimator with scikit-learn's interface; one of events is a :class:`Classifier` too.

    skl2onnx exports it unless it has its own ``to_onnx(features) -> bytes``, which must return a graph
    with one input of shape [rows, 1] for each feature and one output ``prediction`` of shape [rows].
    """

    def fit(self, X: "pd.DataFrame", y: "npt.NDArray[np.float64]") -> Any:
        """Fit on features and labels, one row each."""

    def predict(self, X: "pd.DataFrame") -> "npt.NDArray[np.floating]":
        """Return one prediction for each row."""


@runtime_checkable
class Classifier(Protocol):
    """What an estimator of events has besides: probabilities."""

    def predict_proba(self, X: "pd.DataFrame") -> "npt.NDArray[np.floating]":
        """Return the probabilities of no event and of the event for each row, shape [rows, 2]."""


@runtime_checkable
class Resumable(Protocol):
    """An estimator whose training takes so long that it keeps checkpoints."""

    def work_in(self, checkpoints: Path, profile: Path | None) -> None:
        """Keep checkpoints in a folder, and resume from there; write a profile into the other when one is given."""


EstimatorFactory = Callable[..., Estimator]
"""``factory(features, seed, **settings)``: a new estimator for these features."""


class Definitions(NamedTuple):
    """What a model's features are: of entities, and of the request alone."""

    views: tuple[FeatureView, ...]
    request: RequestFeatures


@dataclass(frozen=True)
class Problem:
    """A problem package: its statement, read at once, and its Python, imported when first used.

    ``definitions`` stands where the features are not the package's own of today: see :meth:`trained_on`.
    """

    package: str
    config: ProblemConfig
    definitions: Definitions | None = None

    @classmethod
    def load(cls, package: str) -> Self:
        """Read the ``problem.toml`` of an importable package.

        Raises:
            UserError: when the package or the file is missing, or the file is not valid.
        """
        try:
            spec = find_spec(package)
        except ModuleNotFoundError:
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"there is no problem package {package!r}; run from the repository's root")
        return cls(package, load_toml(Path(spec.submodule_search_locations[0]) / "problem.toml", ProblemConfig))

    def trained_on(self, definitions: Definitions, defaults: Mapping[str, Default]) -> Self:
        """Return the problem as a model knows it that was trained on other definitions and defaults of features."""

        def policy(view: FeatureView) -> ViewPolicy:
            own = {name: defaults[name] for name in view.features if name in defaults}
            without = "default" if own else "reject" if self.config.serving.rejects(view.name) else "impute"
            unreachable = "as-missing" if self.config.serving.outlasts(view.name) else "fail"
            return ViewPolicy.model_validate({"missing": without, "defaults": own, "unreachable": unreachable})

        serving = ServingConfig(views={view.name: policy(view) for view in definitions.views})
        config = self.config.model_copy(update={"serving": serving})
        return replace(self, config=config, definitions=definitions)

    @cached_property
    def read(self) -> Source:
        """The source of raw rows."""
        return self._part("source", "read")  # type: ignore[no-any-return]

    @cached_property
    def views(self) -> tuple[FeatureView, ...]:
        """The feature views, checked against the statement."""
        given = self.definitions.views if self.definitions else tuple(self._part("features", "VIEWS"))
        views = resolved(given, self.config.tables)
        for view in views:
            if len({self.config.tables[name].corrections for name in view.raw_tables}) > 1:
                raise UserError(
                    f"feature view {view.name!r} comes from tables with different 'corrections' "
                    f"({', '.join(view.raw_tables)}), so it is unclear what training reads; give them the same"
                )
            reserved.refuse(f"feature view {view.name!r}: the entity", view.entity, reserved.ENTITY)
            for column in view.entity:
                if column not in self.config.request_columns:
                    raise UserError(f"feature view {view.name!r}: a request has no field {column!r} for its entity")
                kind = self.config.request_columns[column].type
                if kind not in ENTITY_TYPES:
                    raise UserError(
                        f"feature view {view.name!r}: {column!r} is a {kind}; an entity is a {', '.join(ENTITY_TYPES)}"
                    )
                if self.config.request_columns[column].personal:
                    raise UserError(f"feature view {view.name!r}: {column!r} is personal and so can be no entity")
        self.config.serving.check(views)
        return views

    @cached_property
    def request_features(self) -> RequestFeatures:
        """The features that need nothing but the request."""
        own: RequestFeatures = (
            self.definitions.request if self.definitions else self._part("features", "REQUEST_FEATURES")
        )
        return own

    @cached_property
    def features(self) -> Mapping[str, FeatureType]:
        """Every feature of the model and its type, in the order of the model's inputs."""
        features: dict[str, FeatureType] = dict(self.request_features.features)
        reserved.refuse("the feature", features, reserved.FEATURE)
        for name, column in self.config.request_columns.items():
            if column.personal and name in features:
                raise UserError(f"{name!r} is personal in problem.toml and so cannot be a feature")
        for view in self.views:
            reserved.refuse("the feature", view.features, reserved.FEATURE)
            for name, kind in view.features.items():
                if name in features:
                    raise UserError(f"two feature views, or one and the request, both define the feature {name!r}")
                features[name] = kind
        return features

    @cached_property
    def estimators(self) -> Mapping[str, EstimatorFactory]:
        """The estimators a training may use, by name."""
        estimators: Mapping[str, EstimatorFactory] = self._part("estimators", "ESTIMATORS")
        for name in self.config.training.networks:
            if name not in estimators:
                raise UserError(f"training.networks: there is no estimator {name!r}; {nearest(name, estimators)}")
        return estimators

    def _part(self, module: str, name: str) -> Any:
        try:
            return getattr(importlib.import_module(f"{self.package}.{module}"), name)
        except AttributeError as error:
            raise UserError(f"{self.package}/{module}.py must define {name}") from error
