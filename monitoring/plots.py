"""Plots as SVG text, without scripts or other files, so that pages, pull requests and cards can embed them."""

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

Floats = npt.NDArray[np.floating]

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, GREY, RED, GREEN, AMBER = "#2563eb", "#9aa5b1", "#dc2626", "#059669", "#d97706"
BANDS = ("#eff6ff", "#ecfdf5", "#fffbeb", "#f5f3ff", "#fff1f2", "#f0f9ff")
_HEAT = LinearSegmentedColormap.from_list("drift", ["#f8fafc", "#bfdbfe", "#fbbf24", "#dc2626"])

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Segoe UI", "Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "report",  # equal data gives equal bytes
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


class Tenure(NamedTuple):
    """A span of time in which one version was the champion."""

    version: int
    start: datetime
    end: datetime


class Mark(NamedTuple):
    """Something that happened at a moment: an alarm, a promotion, a refusal, a rollback."""

    at: datetime
    kind: str
    text: str


MARKS = {
    "alarm": (RED, "v", "alarm"),
    "promotion": (GREEN, "P", "promoted"),
    "refusal": (GREY, "X", "candidate refused"),
    "rollback": (AMBER, "D", "rolled back"),
}
"""The colour, the symbol and the name of each kind of mark."""


class Line(NamedTuple):
    """Values over time, and how they are drawn."""

    name: str
    values: Floats
    colour: str
    style: str = "-"


def over_time(
    times: Sequence[datetime],
    lines: Sequence[Line],
    ylabel: str,
    tenures: Sequence[Tenure],
    marks: Sequence[Mark] = (),
    gain: tuple[str, Floats] | None = None,
) -> str:
    """Plot lines over time, above bands for champions and marks for events; ``gain`` is a panel of bars below them."""
    with _svg(9.6, 4.4 if gain else 3.4) as figure:
        panels = figure.subplots(2 if gain else 1, sharex=True, squeeze=False, height_ratios=[3, 1.1] if gain else [1])
        axes, *below = panels[:, 0]
        for line in lines:
            width = 2.2 if line.style == "-" else 1.6
            axes.plot(date2num(times), line.values, line.style, color=line.colour, lw=width, label=line.name)
        axes.set_ylabel(ylabel)
        _mark(axes, marks)
        for panel in (axes, *below):
            _bands(panel, tenures)
            panel.grid(axis="x", visible=False)
        for tenure in tenures:
            middle = (date2num(tenure.start) + date2num(tenure.end)) / 2
            axes.text(
                middle, 1.02, f"v{tenure.version}", transform=axes.get_xaxis_transform(), ha="center", color=MUTED
            )
        if gain:
            _gain(below[0], times, *gain)
        axes.margins(x=0.01)
        _dates((axes, *below)[-1])
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=6, columnspacing=1.4)
    return figure.svg  # type: ignore[attr-defined, no-any-return]


def heat_map(features: Sequence[str], times: Sequence[datetime], values: Floats, limit: float) -> str:
    """Plot the drift of features over time, shape [features, times]; colour saturates at twice ``limit``."""
    with _svg(9.6, 0.8 + 0.24 * len(features)) as figure:
        axes = figure.subplots()
        image = axes.imshow(values, aspect="auto", cmap=_HEAT, vmin=0, vmax=2 * limit, interpolation="nearest")
        axes.set_yticks(range(len(features)), [name.replace("_", " ") for name in features])
        axes.set_xticks(range(len(times)), [f"{time:%-d %b}" for time in times], fontsize=8)
        axes.grid(visible=False)
        axes.set_xticks(np.arange(len(times)) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(features)) - 0.5, minor=True)
        axes.grid(which="minor", visible=True, color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.02, ticks=[0, limit, 2 * limit])
        bar.ax.set_yticklabels(["0", f"{limit:g}", f"≥ {2 * limit:g}"])
        bar.outline.set_visible(False)
    return figure.svg  # type: ignore[attr-defined, no-any-return]


def calibration(curves: Mapping[str, Sequence[tuple[float, float, int]]], xlabel: str, ylabel: str) -> str:
    """Plot the mean label over the mean prediction, one curve for each model; on the diagonal the two are equal."""
    with _svg(4.6, 4.2) as figure:
        axes = figure.subplots()
        ends = [value for curve in curves.values() for point in curve for value in point[:2]]
        low, high = min(ends, default=0.0), max(ends, default=1.0)
        axes.plot([low, high], [low, high], "--", color=GREY, lw=1.2)
        for (name, curve), colour in zip(curves.items(), (BLUE, GREEN, AMBER, RED, "#7c3aed", INK) * 4, strict=False):
            predicted, observed, rows = zip(*curve, strict=True)
            sizes = 14 + 60 * np.array(rows) / max(rows)
            axes.plot(predicted, observed, color=colour, lw=1.8, label=name)
            axes.scatter(predicted, observed, s=sizes, color=colour, zorder=3, lw=0)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        if curves:
            axes.legend(loc="upper left")
    return figure.svg  # type: ignore[attr-defined, no-any-return]


def bars(times: Sequence[datetime], width: float, parts: Mapping[str, tuple[Floats, str]], ylabel: str) -> str:
    """Plot stacked bars over time, ``width`` days wide; ``parts`` maps each part of a bar to its values and colour."""
    with _svg(4.6, 4.2) as figure:
        axes = figure.subplots()
        bottom = np.zeros(len(times))
        for part, (values, colour) in parts.items():
            axes.bar(date2num(times), values, width, bottom=bottom, color=colour, label=part, lw=0)
            bottom = bottom + values
        axes.set_ylabel(ylabel)
        axes.grid(axis="x", visible=False)
        _dates(axes)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    return figure.svg  # type: ignore[attr-defined, no-any-return]


class Box(NamedTuple):
    """A box of a graph: a title, and a line of detail."""

    title: str
    detail: str


def flow(columns: Sequence[Sequence[Box]]) -> str:
    """Draw boxes in columns from left to right, each tied to every box of the next column."""
    width, height, gap_x, gap_y = 190, 50, 62, 12
    tallest = max(len(column) for column in columns)
    full = tallest * (height + gap_y) - gap_y
    boxes, ties = [], []
    places: list[list[tuple[float, float]]] = []
    for number, column in enumerate(columns):
        x, used = number * (width + gap_x), len(column) * (height + gap_y) - gap_y
        places.append([(x, (full - used) / 2 + row * (height + gap_y)) for row in range(len(column))])
        for (left, top), node in zip(places[-1], column, strict=True):
            boxes.append(
                f'<g transform="translate({left},{top:.0f})"><rect width="{width}" height="{height}" rx="8"/>'
                f"<text x='12' y='21' class='title'>{escape(node.title)}</text>"
                f"<text x='12' y='38' class='detail'>{escape(node.detail)}</text></g>"
            )
    for before, after in itertools.pairwise(places):
        for (x1, y1), (x2, y2) in itertools.product(before, after):
            middle, out, into = (x1 + width + x2) / 2, y1 + height / 2, y2 + height / 2
            ties.append(f'<path d="M{x1 + width},{out:.0f} C{middle},{out:.0f} {middle},{into:.0f} {x2},{into:.0f}"/>')
    size = f"{len(columns) * (width + gap_x) - gap_x + 2} {full + 2:.0f}"
    return f'<svg class="flow" viewBox="-1 -1 {size}" role="img">{"".join(ties)}{"".join(boxes)}</svg>'


def _bands(axes: Axes, tenures: Sequence[Tenure]) -> None:
    for number, tenure in enumerate(tenures):
        axes.axvspan(date2num(tenure.start), date2num(tenure.end), color=BANDS[number % len(BANDS)], lw=0, zorder=0)


def _mark(axes: Axes, marks: Sequence[Mark]) -> None:
    bottom, top = axes.get_ylim()
    bottom -= 0.3 * (top - bottom)  # room for the marks below the lines
    for row, (kind, (colour, symbol, name)) in enumerate(MARKS.items()):
        times = date2num([mark.at for mark in marks if mark.kind == kind])
        if len(times):
            height = bottom + (0.045 + 0.055 * row) * (top - bottom)
            axes.plot(times, [height] * len(times), symbol, color=colour, ms=7, mew=0, ls="", label=name, zorder=4)
            for time in times:
                axes.vlines(time, height, top, color=colour, lw=0.9, ls=":", zorder=1)
    axes.set_ylim(bottom if marks else axes.get_ylim()[0], top)


def _gain(axes: Axes, times: Sequence[datetime], ylabel: str, values: Floats) -> None:
    width = (times[1] - times[0]).total_seconds() / 86400 * 0.62 if len(times) > 1 else 1.0
    axes.bar(date2num(times), values, width, color=[GREEN if value > 0 else RED for value in values], lw=0)
    axes.axhline(0, color=MUTED, lw=0.8)
    axes.set_ylabel(ylabel)


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=4, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


@contextmanager
def _svg(width: float, height: float) -> Iterator[Figure]:
    """Yield a figure to draw on; afterwards its ``svg`` is the picture, which scales to its container's width."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        sink = io.StringIO()
        figure.savefig(
            sink,
            format="svg",
            transparent=True,
            bbox_inches="tight",
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
        text = sink.getvalue()
        figure.svg = text[text.index("<svg") :]  # type: ignore[attr-defined]
