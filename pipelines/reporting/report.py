"""Gathers from the stores what the report shows."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from monitoring import report
from monitoring.delivery import told
from monitoring.plots import Box, Mark, Tenure
from monitoring.report import Content, Served, Version
from pipelines.bootstrap import Platform
from pipelines.config import Manifest, ReleaseEntry, StrictModel, UserError
from pipelines.continuous_training.decide import decisions
from pipelines.contracts import keys
from pipelines.feature.labels import labelled_predictions
from pipelines.monitor import MonitorReport
from pipelines.registry.scoring import Scorer, columns
from pipelines.reporting.history import delivered
from pipelines.reporting.lineage import Lineage, of_prediction


class Summary(StrictModel):
    """What the report says in short: its figures, each model version, and where its last prediction came from."""

    metric: str
    figures: dict[str, str]
    versions: tuple[Version, ...]
    lineage: Lineage


def write_report(platform: Platform, path: Path) -> Summary:
    """Write the report of an environment, and return what it says in short.

    Raises:
        UserError: when nothing was served yet.
    """
    content, lineage = gather(platform)
    report.write(content, path)
    metric = report.metric_name(content.config)
    return Summary(metric=metric, figures=content.figures, versions=tuple(content.versions), lineage=lineage)


def gather(platform: Platform) -> tuple[Content, Lineage]:
    """Return what the report of an environment shows, and its last prediction's lineage; errors as above."""
    environment = platform.settings.environment
    days = platform.predictions.days()
    if not days:
        raise UserError(f"nothing was served in {environment!r} yet; there is nothing to report on")
    predictions = labelled_predictions(platform.problem, platform.tables, platform.predictions, *days)
    assert predictions is not None, "a log with days has predictions"
    entries = list(platform.releases.entries())
    monitored = [
        MonitorReport.from_json(platform.objects.read(key) or b"")
        for key in reversed(platform.objects.keys(keys.monitor_reports(environment)))
    ]
    decided = decisions(platform.objects, environment)
    manifests = {
        version: platform.models.manifest(model) for version, model in sorted(platform.models.versions().items())
    }
    tenures = _reigns(entries, days[1])
    lineage = of_prediction(platform.models, platform.predictions, predictions["prediction_id"][-1].as_py())
    assert lineage is not None, "the log has what it was read from"
    content = Content(
        config=platform.problem.config,
        environment=environment,
        figures=_figures(predictions, entries, monitored, manifests),
        served=_served(platform, predictions, tenures[0].version),
        tenures=tenures,
        marks=_marks(entries, monitored, manifests),
        versions=[_version(platform, number, manifest, entries, tenures) for number, manifest in manifests.items()],
        decisions=[
            {"day": f"{one.at:%Y-%m-%d}", "train": one.train, "reason": one.reason} for one in decided if one.triggers
        ],
        drift=[(one.measured.as_of, one.measured.drift) for one in monitored if one.measured.drift],
        canary=_last_canary(entries),
        delivery=told(delivered(platform.releases, platform.models, platform.root, entries[0].at, days[1])),
        lineage=_columns(lineage),
    )
    return content, lineage


def _served(platform: Platform, predictions: pa.Table, first: int) -> Served:
    digest = platform.models.versions()[first]
    features = platform.models.manifest(digest).features
    logged = predictions.rename_columns([name.removeprefix("feature_") for name in predictions.column_names])
    return Served(
        answered_at=predictions["answered_at"].cast(pa.timestamp("us")).to_numpy(),
        label=predictions["label"].to_numpy(),
        prediction=predictions["prediction"].to_numpy(),
        first=Scorer(platform.models.onnx(digest), features, threads=0)(columns(logged, features)),
        version=predictions["version"].to_numpy(),
        by_challenger=pc.equal(predictions["variant"], "challenger").to_numpy(),
        fell_back=pc.is_valid(predictions["error"]).to_numpy(),
    )


def _figures(
    predictions: pa.Table, entries: list[ReleaseEntry], monitored: list[MonitorReport], manifests: dict[int, Manifest]
) -> dict[str, str]:
    actions = [entry.action for entry in entries]
    labels = predictions.num_rows - predictions["label"].null_count
    return {
        "predictions served": f"{predictions.num_rows:,}",
        "labels that came": f"{labels:,}",
        "alarms raised": str(sum(len(one.alarms) for one in monitored)),
        "candidates judged": str(sum(bool(manifest.gates) for manifest in manifests.values())),
        "promoted": str(actions.count("promote")),
        "rolled back": str(actions.count("roll back")),
    }


def _reigns(entries: list[ReleaseEntry], end: datetime) -> list[Tenure]:
    crowned = [
        (entry.state.champion.version, entry.at)
        for before, entry in zip([None, *entries], entries, strict=False)
        if entry.state.champion and (before is None or before.state.champion != entry.state.champion)
    ]
    ends = [at for _, at in crowned[1:]] + [end]
    return [Tenure(version, start, stop) for (version, start), stop in zip(crowned, ends, strict=True)]


def _marks(entries: list[ReleaseEntry], monitored: list[MonitorReport], manifests: dict[int, Manifest]) -> list[Mark]:
    marks = [Mark(one.measured.as_of, "alarm", alarm.reason) for one in monitored for alarm in one.alarms]
    marks += [Mark(entry.at, "rollback", entry.summary) for entry in entries if entry.action == "roll back"]
    marks += [Mark(entry.at, "promotion", entry.summary) for entry in entries[1:] if entry.action == "promote"]
    refused = [manifest for manifest in manifests.values() if manifest.gates and not manifest.accepted]
    return marks + [Mark(manifest.periods["test"].end, "refusal", manifest.reason) for manifest in refused]


def _version(
    platform: Platform, number: int, manifest: Manifest, entries: list[ReleaseEntry], tenures: list[Tenure]
) -> Version:
    metric = platform.problem.config.gates.champion_comparison.metric
    fates = [f"until {tenure.end:%d %b}" for tenure in tenures[:-1] if tenure.version == number]
    if any(entry.action == "roll back" and entry.variant.version == number for entry in entries):
        fates = ["rolled back"]
    if tenures[-1].version == number:
        fates = ["champion"]
    return Version(
        version=number,
        as_of=manifest.periods["test"].end.date(),
        estimator=manifest.estimator.replace("_", " "),
        quality=manifest.metrics["test"][metric] if manifest.gates else None,
        champion_quality=manifest.metrics["champion"].get(metric) if manifest.gates else None,
        judged=bool(manifest.gates),
        failed=tuple(gate.gate.replace("_", " ") for gate in manifest.gates if not gate.passed),
        reason=manifest.reason,
        fate=fates[-1] if fates else "not released",
        seconds=platform.runner.seconds(manifest.run_id) if manifest.gates else None,
    )


def _last_canary(entries: list[ReleaseEntry]) -> tuple[datetime, datetime, str] | None:
    start = None
    found = None
    for entry in entries:
        if entry.action == "start":
            start = entry
        elif start and entry.action in _ENDS:
            found, start = (start.at, entry.at, f"{_ENDS[entry.action]}: {entry.summary}."), None
    return found


_ENDS = {"promote": "Promoted", "conclude": "Concluded", "roll back": "Rolled back"}


def _columns(found: Lineage) -> list[list[Box]]:
    """Return a prediction's lineage as the columns of a graph, the prediction first."""
    asked, train = found.prediction, found.periods["train"]
    views = [
        Box(name.replace("_", " "), f"definition {version}") for name, version in found.feature_versions.views.items()
    ]
    raw = [Box(name, f"snapshot {snapshot}") for name, snapshot in found.data.items() if name.startswith("raw.")]
    return [
        [Box(f"prediction {asked.prediction:.3f}", asked.key)] if asked else [],
        [Box(f"v{found.version} {found.estimator.replace('_', ' ')}", found.model[:20])],
        [
            Box("training run", found.run_id),
            Box(f"{train.rows:,} requests", f"{train.start:%Y-%m-%d} to {train.end:%Y-%m-%d}"),
            Box("commit", found.code.commit[:12] + (" + changes" if found.code.modified else "")),
        ],
        [*views, Box("request features", f"definition {found.feature_versions.request}")],
        raw,
    ]
