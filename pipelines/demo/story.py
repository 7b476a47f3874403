"""The output of the demo: chapters, short lines and progress bars; plain lines without a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.config import GateResult, ProblemConfig
from pipelines.reporting.lineage import tree
from pipelines.reporting.report import Summary
from pipelines.serving.client import ServingClient

_GOOD, _BAD, _NOTE = "[green]✔[/]", "[red]✘[/]", "[dim]·[/]"


class Advance(Protocol):
    """A progress bar that can be advanced."""

    def __call__(self, steps: float = 1, text: str | None = None) -> None:
        """Advance, and say what is being done."""


class Story:
    """Prints the demo's output on a console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def open(self, config: ProblemConfig) -> None:
        """Print the problem's title and goal."""
        self.console.print(f"[bold]{config.title}[/]", highlight=False)
        self.console.print(" ".join(config.business.goal.split()), style="dim", highlight=False)

    def chapter(self, title: str, text: str = "") -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left", style="cyan")
        if text:
            self.console.print(text, style="dim")

    def good(self, text: str) -> None:
        """Print a success."""
        self._tell(_GOOD, text)

    def bad(self, text: str) -> None:
        """Print what was stopped."""
        self._tell(_BAD, text)

    def note(self, text: str) -> None:
        """Print another event."""
        self._tell(_NOTE, text)

    def gates(self, gates: Sequence[GateResult]) -> None:
        """Print the verdict of each gate."""
        rows = [(_GOOD if one.passed else _BAD, one.gate.replace("_", " "), f"[dim]{one.reason}[/]") for one in gates]
        self.console.print(Padding(_grid(rows), (0, 0, 0, 2)), highlight=False)

    def _tell(self, mark: str, text: str) -> None:
        self.console.print(_grid([(mark, text)]), highlight=False)

    def look_back(self, summary: Summary, app: ServingClient, seconds: float) -> None:
        """Print what was served, every model version, and the lineage of the last prediction."""
        figures = ", ".join(f"[bold]{value}[/] {name}" for name, value in summary.figures.items())
        self.console.print(f"{figures}.", highlight=False)
        self.console.print(
            f"{app.requests:,} HTTP requests, [bold]{app.failed} failed[/], in {seconds:.0f} s all told.\n",
            highlight=False,
        )
        self.console.print(_versions(summary))
        self.console.print("\nWhere the last prediction came from:", style="dim")
        self.console.print(tree(summary.lineage), highlight=False)

    @contextmanager
    def progress(self, text: str, total: float) -> Iterator[Advance]:
        """Show a progress bar during long work, if there is a terminal; it disappears at the end."""
        if not self._bars.live.is_started and self.console.is_terminal:
            with self._bars, self._bar(text, total) as advance:
                yield advance
        else:
            with self._bar(text, total) as advance:
                yield advance

    @contextmanager
    def _bar(self, text: str, total: float) -> Iterator[Advance]:
        bar = self._bars.add_task(text, total=total)

        def advance(steps: float = 1, text: str | None = None) -> None:
            self._bars.update(bar, advance=steps, description=text)

        try:
            yield advance
        finally:
            self._bars.remove_task(bar)


def _grid(rows: Iterable[tuple[str, ...]]) -> Table:
    """Return rows whose last cell wraps under itself."""
    grid = Table.grid(padding=(0, 1))
    for row in rows:
        grid.add_row(*row)
    for column in grid.columns[:-1]:
        column.no_wrap = True
    return grid


def _versions(summary: Summary) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for name in ("model", "as of", summary.metric, "champion's", "gates", "fate", "trained in"):
        numbers = name in (summary.metric, "champion's", "trained in")
        table.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    for one in summary.versions:
        judged = "[red]✘ refused[/]" if one.failed else "[green]✔ passed[/]"
        table.add_row(
            f"[bold]v{one.version}[/]",
            f"{one.as_of:%d %b}",
            "" if one.quality is None else f"{one.quality:.4f}",
            "" if one.champion_quality is None else f"{one.champion_quality:.4f}",
            judged if one.judged else "[red]✘ none[/]",
            f"[bold green]{one.fate}[/]" if one.fate == "champion" else one.fate,
            "" if one.seconds is None else f"{one.seconds:.1f} s",
        )
    return table
