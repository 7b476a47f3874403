"""The report: one self-contained page on what was served, its quality, the decisions, and the lineage."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring import page, plots
from monitoring.metrics import calibration_curve, mean_loss, row_losses
from monitoring.plots import BLUE, GREY, INK, RED, Line, Mark, Tenure
from pipelines.config import METRICS, ProblemConfig, StrictModel, Task

_BIN = timedelta(days=7)


@dataclass(frozen=True)
class Served:
    """Every prediction with its label (NaN while not known), in the order of event time; arrays of shape [rows].

    ``first`` is what the first champion would have predicted for the same requests.
    """

    answered_at: npt.NDArray[np.datetime64]
    label: npt.NDArray[np.float64]
    prediction: npt.NDArray[np.float32]
    first: npt.NDArray[np.float32]
    version: npt.NDArray[np.integer]
    by_challenger: npt.NDArray[np.bool_]
    fell_back: npt.NDArray[np.bool_]


class Version(StrictModel):
    """A model version in short.

    ``quality`` is the primary metric on its test period, ``champion_quality`` the champion's there, ``seconds`` the
    time of its training's steps. A model that no gate judged has none of them.
    """

    version: int
    as_of: date
    estimator: str
    quality: float | None
    champion_quality: float | None
    judged: bool
    failed: tuple[str, ...]
    reason: str
    fate: str
    seconds: float | None


@dataclass(frozen=True)
class Content:
    """All that the page shows.

    ``canary``: when the last one started and ended, and how; ``delivery``: metrics in words, by name.
    """

    config: ProblemConfig
    environment: str
    figures: dict[str, str]
    served: Served
    tenures: list[Tenure]
    marks: list[Mark]
    versions: list[Version]
    decisions: list[dict[str, Any]]
    drift: list[tuple[datetime, dict[str, float]]]
    canary: tuple[datetime, datetime, str] | None
    delivery: dict[str, str]
    lineage: Sequence[Sequence[plots.Box]]


def render(content: Content) -> str:
    """Return the page."""
    return page.filled(
        "report",
        content=content,
        quality_over_time=_quality_over_time(content),
        outcome_over_time=_outcome_over_time(content),
        drift_map=_drift_map(content),
        calibration=_calibration(content),
        canary=_canary(content),
        lineage=plots.flow(content.lineage) if content.lineage else "",
        saved=_saved(content),
        metric=metric_name(content.config),
        direction=METRICS[content.config.task][content.config.gates.champion_comparison.metric],
    )


def write(content: Content, path: Path) -> None:
    """Write the page to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(content), encoding="utf-8")


def metric_name(config: ProblemConfig) -> str:
    """Return the problem's primary metric in words."""
    return config.gates.champion_comparison.metric.replace("_", " ")


def _weeks(content: Content) -> list[tuple[datetime, npt.NDArray[np.bool_]]]:
    """Return the middle of each week with labels, and which rows are its labelled ones."""
    times = content.served.answered_at
    start = times.min().astype("datetime64[D]")
    known = ~np.isnan(content.served.label)
    weeks = []
    for number in range(int((times.max() - start) / np.timedelta64(_BIN)) + 1):
        begin = start + number * np.timedelta64(_BIN)
        rows = known & (times >= begin) & (times < begin + np.timedelta64(_BIN))
        if rows.sum() >= 50:
            weeks.append(((begin + np.timedelta64(_BIN) // 2).astype("datetime64[us]").item(), rows))
    return weeks


def _quality_over_time(content: Content) -> str:
    config, served, weeks = content.config, content.served, _weeks(content)
    first, now = (
        np.array([mean_loss(config, served.label[rows], of[rows]) for _, rows in weeks])
        for of in (served.first, served.prediction)
    )
    lines = [
        Line("what was served", now, BLUE),
        Line("the first model, had it stayed", first, GREY, "--"),
    ]
    gain = ("gain", first - now)
    times = [time for time, _ in weeks]
    return plots.over_time(times, lines, metric_name(config), content.tenures, content.marks, gain)


def _outcome_over_time(content: Content) -> str:
    served, weeks = content.served, _weeks(content)
    lines = [
        Line("observed", np.array([served.label[rows].mean() for _, rows in weeks]), INK),
        Line("predicted", np.array([served.prediction[rows].mean() for _, rows in weeks]), BLUE),
    ]
    label = "share" if content.config.task is Task.BINARY else "mean"
    return plots.over_time([time for time, _ in weeks], lines, f"{label}, by week", content.tenures)


def _drift_map(content: Content) -> str:
    if not content.drift:
        return ""
    names = sorted(content.drift[0][1], key=lambda name: -max(week[name] for _, week in content.drift))
    values = np.array([[week[name] for _, week in content.drift] for name in names])
    return plots.heat_map(names, [time for time, _ in content.drift], values, content.config.monitoring.psi)


def _calibration(content: Content) -> str:
    served, known = content.served, ~np.isnan(content.served.label)
    curves = {}
    for version in sorted({tenure.version for tenure in content.tenures}):
        rows = known & (served.version == version)
        if rows.sum() >= 500:
            curves[f"v{version}"] = calibration_curve(served.label[rows], served.prediction[rows])
    share = content.config.task is Task.BINARY
    return plots.calibration(curves, "predicted", "observed share" if share else "observed mean")


def _canary(content: Content) -> str:
    """Plot the hours around the latest canary, by the variant that answered."""
    if content.canary is None:
        return ""
    hour = np.timedelta64(1, "h")
    start, end = (np.datetime64(time.replace(tzinfo=None)) for time in content.canary[:2])
    served = content.served
    near = (served.answered_at >= start - 6 * hour) & (served.answered_at < end + 6 * hour)
    hours = served.answered_at[near].astype("datetime64[h]")
    names = np.unique(hours)
    failed, challenger = served.fell_back[near], served.by_challenger[near]
    parts = {
        name: (np.array([(rows & (hours == one)).sum() for one in names]), colour)
        for name, rows, colour in (
            ("champion", ~challenger & ~failed, "#cbd5e1"),
            ("challenger", challenger, BLUE),
            ("challenger failed, champion answered", failed, RED),
        )
    }
    return plots.bars([name.astype("datetime64[us]").item() for name in names], 0.036, parts, "predictions an hour")


def _saved(content: Content) -> float:
    """Return the money that newer models saved, compared with the first model left in place."""
    served, known = content.served, ~np.isnan(content.served.label)
    first, now = (
        row_losses(content.config, "expected_cost", served.label[known], of[known]).sum()
        for of in (served.first, served.prediction)
    )
    return float(first - now)
