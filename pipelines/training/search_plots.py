"""The figures of a search: its history, the importance of settings, and parallel coordinates."""

import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna import Study
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from monitoring.plots import BLUE, GREY, INK, MUTED, STYLE

Plot = Callable[[Study, list[FrozenTrial], str, Axes], None]

ENOUGH = 4  # finished trials, below which importances mean nothing


def draw(study: Study, metric: str, folder: Path) -> list[Path]:
    """Draw the figures that there are enough trials for, and return the files."""
    finished = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    figures: dict[str, Plot] = {"history": _history} if finished else {}
    if len(finished) >= ENOUGH:
        figures |= {"importance": _importance, "parallel": _parallel}
    files = []
    with mpl.rc_context(STYLE):
        for name, plot in figures.items():
            figure = Figure(figsize=(8, 4), layout="constrained")
            plot(study, finished, metric, figure.subplots())
            files.append(folder / f"{name}.png")
            figure.savefig(files[-1], dpi=120)
    return files


def _history(study: Study, finished: list[FrozenTrial], metric: str, axes: Axes) -> None:
    numbers, values = [trial.number for trial in finished], [trial.value or 0.0 for trial in finished]
    axes.plot(numbers, values, "o", color=GREY, label="trial")
    axes.step(numbers, np.minimum.accumulate(values), where="post", color=BLUE, linewidth=2, label="best so far")
    pruned = [trial.number for trial in study.trials if trial.state is TrialState.PRUNED]
    if pruned:
        axes.plot(pruned, [max(values)] * len(pruned), "|", color=MUTED, markersize=10, label="pruned")
    axes.set(xlabel="trial", ylabel=f"{metric} on the validation period", title="History")
    axes.legend()


def _importance(study: Study, _finished: list[FrozenTrial], metric: str, axes: Axes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forests with few trials
        found = get_param_importances(study)
    names = list(found)[::-1]
    axes.barh(names, [found[name] for name in names], color=BLUE, height=0.6)
    axes.set(xlabel=f"share of the variance of {metric} that the setting explains (fANOVA)", title="Importance")
    axes.grid(visible=False, axis="y")


def _parallel(_study: Study, finished: list[FrozenTrial], metric: str, axes: Axes) -> None:
    """Draw a line for each trial over an axis for each setting and one for the metric, the best quarter in colour."""
    ranked = sorted(finished, key=lambda trial: trial.value or 0.0, reverse=True)
    points: list[dict[str, object]] = [{**trial.params, metric: trial.value} for trial in ranked]
    names = list(points[0])
    places = {name: _places([point[name] for point in points]) for name in names}
    best = len(ranked) - max(1, len(ranked) // 4)
    for number, point in enumerate(points):
        heights = [places[name][0][point[name]] for name in names]
        style = {"color": BLUE, "linewidth": 1.8} if number >= best else {"color": GREY, "linewidth": 0.8, "alpha": 0.6}
        axes.plot(range(len(names)), heights, **style)  # type: ignore[arg-type]
    for place, name in enumerate(names):
        for height, text in places[name][1]:
            axes.annotate(
                text, (place, height), xytext=(4, 0), textcoords="offset points", va="center", color=INK, size=8
            )
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(names) - 0.4)
    axes.set_title(f"Settings of all trials; the quarter with the best {metric} in blue")


def _places(values: list[object]) -> tuple[dict[object, float], list[tuple[float, str]]]:
    """Return the height between 0 and 1 of each value, by size or, for texts, by name; and what to write there."""
    known = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    numeric = [value for value in known if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numeric) < len(known) or len(known) == 1:
        heights = {value: place / max(1, len(known) - 1) for place, value in enumerate(known)}
        return heights, [(height, str(value)) for value, height in heights.items()]
    array = np.array(numeric, dtype=float)
    scaled = np.log(array) if array.min() > 0 and array.max() / array.min() > 20 else array
    heights = dict(zip(known, ((scaled - scaled[0]) / (scaled[-1] - scaled[0])).tolist(), strict=True))
    return heights, [(heights[value], f"{value:.3g}") for value in (numeric[0], numeric[-1])]
