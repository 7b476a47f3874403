"""The gates that a candidate must pass before anyone can propose it; each gives its verdict with numbers."""

from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from monitoring.metrics import paired_bootstrap, row_losses
from pipelines.config import FeatureType, GateResult, Problem, ProblemConfig, UserError
from pipelines.feature import schema
from pipelines.feature.decode import RequestDecoder
from pipelines.feature.offline import with_features
from pipelines.feature.online import OnlineFeatures
from pipelines.feature.request import Columns
from pipelines.registry import carried
from pipelines.registry.scoring import columns
from pipelines.storage.ports import OnlineStore
from pipelines.storage.tables import TIMESTAMP, Tables
from pipelines.training import Evaluated, GateResults, Pinned, Trained, TrainingParams


def run_gates(
    params: TrainingParams,
    problem: Problem,
    tables: Tables,
    online: OnlineStore,
    pinned: Pinned,
    trained: Trained,
    evaluated: Evaluated,
) -> GateResults:
    """Run every gate on the candidate, also after one has failed."""
    requests = recent_requests(params, problem, tables, pinned)
    return GateResults(
        gates=(
            absolute_quality(problem.config, evaluated.metrics.candidate_metrics),
            champion_comparison(
                problem.config, pinned.champion_model, evaluated.predictions, evaluated.metrics.incomparable
            ),
            onnx_parity(problem.config, trained.native, evaluated.predictions),
            training_serving_skew(problem, tables, online, requests),
        )
    )


def absolute_quality(config: ProblemConfig, metrics: dict[str, float]) -> GateResult:
    """Require every bounded metric to lie within its bounds; one that could not be computed does not."""
    failed = [
        f"{name} {metrics[name]:.4f} is {side} {limit:g}"
        for name, bound in config.gates.absolute_quality.items()
        for side, limit, ok in (
            ("below", bound.min, bound.min is None or metrics[name] >= bound.min),
            ("above", bound.max, bound.max is None or metrics[name] <= bound.max),
        )
        if not ok
    ]
    values = {name: metrics[name] for name in config.gates.absolute_quality}
    told = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
    return _result("absolute_quality", "; ".join(failed), f"{told}: within bounds", values)


def champion_comparison(
    config: ProblemConfig, champion_model: str | None, predictions: pa.Table, incomparable: str = ""
) -> GateResult:
    """The candidate's mean row loss is lower than the champion's, with the stated confidence.

    ``champion_model`` is the champion's digest, if there is one; ``predictions`` has event_time, label, candidate and
    champion, the last unless the champion could not be asked; ``incomparable`` says why then.
    """
    gate, name = config.gates.champion_comparison, "champion_comparison"
    if champion_model is None:
        return GateResult(gate=name, passed=True, reason="there is no champion yet")
    if "champion" not in predictions.column_names:
        return GateResult(
            gate=name, passed=False, reason=f"the champion {champion_model[:12]} cannot be asked: {incomparable}"
        )
    if predictions.num_rows < gate.min_rows:
        few = f"{predictions.num_rows:,} test rows are too few to compare on; {gate.min_rows:,} are needed"
        return GateResult(gate=name, passed=False, reason=few)
    labels = predictions["label"].to_numpy()
    losses = {
        variant: row_losses(config, gate.metric, labels, predictions[variant].to_numpy())
        for variant in ("candidate", "champion")
    }
    blocks = predictions["event_time"].cast(pa.int64()).to_numpy() // int(gate.block.total_seconds() * 1e6)
    draws = paired_bootstrap(losses["candidate"], losses["champion"], blocks, gate.resamples, config.training.seed)
    upper, difference = (
        float(np.quantile(draws, gate.confidence)),
        float((losses["candidate"] - losses["champion"]).mean()),
    )
    values = {
        "difference": difference,
        f"upper_{gate.confidence:.0%}": upper,
        "candidate": float(losses["candidate"].mean()),
        "champion": float(losses["champion"].mean()),
    }
    told = f"{gate.metric} differs from the champion's by {difference:+.5f}, at most {upper:+.5f}"
    failure = f"{told} with {gate.confidence:.0%} confidence: not shown to be better" if upper >= 0 else ""
    return _result(name, failure, f"{told} with {gate.confidence:.0%} confidence", values)


def onnx_parity(config: ProblemConfig, native: pa.Table, predictions: pa.Table) -> GateResult:
    """Require the ONNX file to predict what its estimator predicted for the same rows.

    ``native`` has the estimator's predictions for the first test rows, ``predictions`` the file's for all of them.
    """
    tolerance = config.gates.onnx_parity.tolerance
    predicted = predictions["candidate"].slice(0, native.num_rows).to_numpy()
    difference = np.abs(predicted - native["prediction"].to_numpy())
    largest = float(np.where(np.isnan(difference), np.inf, difference).max())
    told = f"the largest of {len(predicted):,} differences is {largest:.2g}"
    failure = f"{told}, more than {tolerance:g}" if largest > tolerance else ""
    return _result("onnx_parity", failure, told, {"largest_difference": largest})


def recent_requests(params: TrainingParams, problem: Problem, tables: Tables, pinned: Pinned) -> pa.Table:
    """Return the latest raw requests before the cut-off, as many as the skew gate wants."""
    config = problem.config
    name, wanted = config.request.table, config.gates.training_serving_skew.rows
    start, snapshot = params.as_of - config.training.test, pinned.snapshots.get(f"raw.{name}")
    rows = schema.read(tables, name, config.tables[name], start=start, end=params.as_of, snapshot=snapshot)
    rows = rows.sort_by([(config.event_time, "ascending"), (config.key, "ascending")])
    return rows.slice(max(0, rows.num_rows - wanted))


def training_serving_skew(problem: Problem, tables: Tables, online: OnlineStore, requests: pa.Table) -> GateResult:
    """Require the same features online, one JSON request at a time, as offline, from the training code.

    Online they are computed by the definitions as they will travel with the model.
    The requests are moved to the moment up to which the online store is complete, since it holds no history; both
    stores are read as they are now, and again when a feature pipeline moved them meanwhile.
    """
    gate, name = problem.config.gates.training_serving_skew, "training_serving_skew"
    try:
        travelled = carried.load(problem, carried.sources(problem), carried.versions(problem))
    except UserError as error:
        return GateResult(gate=name, passed=False, reason=f"served by a model, {error}")
    while True:
        moments = _complete(problem, online)
        if None in moments or not requests.num_rows:
            return GateResult(gate=name, passed=False, reason="a feature view was never materialised online")
        moved = _at(requests, problem.config.event_time, min(filter(None, moments))) if moments else requests
        offline = columns(with_features(problem, tables, {}, moved, known_now=True), problem.features)
        served = _served(travelled, online, moved)
        if moments == _complete(problem, online):
            break
    shares = {
        feature: float(_differ(offline[feature], served[feature], kind, gate.tolerance).mean())
        for feature, kind in problem.features.items()
    }
    worst = max(shares, key=lambda feature: shares[feature])
    told = f"{worst} differs for {shares[worst]:.1%} of {requests.num_rows} requests"
    failure = f"{told}, more than {gate.max_share:.1%}" if shares[worst] > gate.max_share else ""
    return _result(
        name, failure, f"offline and online features agree for {requests.num_rows} requests", {worst: shares[worst]}
    )


def _complete(problem: Problem, online: OnlineStore) -> list[datetime | None]:
    return [online.as_of(view.versioned_name) for view in problem.views]


def _at(requests: pa.Table, event_time: str, moment: datetime) -> pa.Table:
    times = pa.array([moment] * requests.num_rows, TIMESTAMP)
    return requests.set_column(requests.schema.get_field_index(event_time), event_time, times)


def _served(problem: Problem, online: OnlineStore, requests: pa.Table) -> Columns:
    """Return the features as the serving app computes them: from JSON, each request on its own."""
    config = problem.config
    features = OnlineFeatures(problem, online)
    decode = RequestDecoder(config.request_columns)
    served = [features(decode(msgspec.json.encode(row))[0]).features for row in requests.to_pylist()]
    return {name: np.concatenate([one[name] for one in served]) for name in problem.features}


def _differ(offline: Any, served: Any, kind: FeatureType, tolerance: float) -> Any:
    if kind is FeatureType.CATEGORICAL:
        return offline != served
    return ~np.isclose(offline, served, rtol=tolerance, atol=tolerance, equal_nan=True)


def _result(gate: str, failure: str, success: str, values: dict[str, float]) -> GateResult:
    return GateResult(gate=gate, passed=not failure, reason=failure or success, values=values)
