"""What commands print: lines, tables, JSON and progress, for a terminal of 80 columns and for a pipe."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)
errors = Console(highlight=False, stderr=True)
OK, NO, NOTE = "[green]✔[/]", "[red]✘[/]", "[dim]·[/]"
_PIPE_WIDTH = 240  # columns of a table that no terminal limits


def print_json(content: Any) -> None:
    """Print JSON to standard output."""
    typer.echo(json.dumps(content, indent=2, default=str))


def say(markup: str, to: Console = console) -> None:
    """Print a line: a terminal breaks it between words, a pipe gets it whole."""
    to.print(markup, soft_wrap=not to.is_terminal)


def done(text: str) -> None:
    """Print what a command did."""
    say(f"{OK} {escape(text)}")


def suggest(*commands: str) -> None:
    """Print the commands to run next."""
    for command in commands:
        say(f"  [dim]next: {escape(command)}[/]")


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of markup, a line each; on a terminal the last column ends in … where it has no room."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    widths = [max(Text.from_markup(cell).cell_len for cell in column) for column in zip(titles, *rows, strict=True)]
    room = (console.width if console.is_terminal else _PIPE_WIDTH) - sum(width + 2 for width in widths[:-1])
    for title, width in zip(titles, [*widths[:-1], max(len(titles[-1]), min(widths[-1], room))], strict=True):
        table.add_column(title, width=width, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    _print(table)


def print_pairs(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of markup; the text in the last column goes on below its own beginning."""
    if not rows:
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in rows[0]:
        grid.add_column(no_wrap=True)
    grid.columns[-1].no_wrap = False
    grid.columns[-1].overflow = "fold"
    for row in rows:
        grid.add_row(*row)
    _print(grid)


@contextmanager
def progress(text: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how many rows are done, where there is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = (TextColumn("{task.description}"), BarColumn(bar_width=28), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=total)
        yield lambda rows: bar.advance(task, rows)


def _print(table: Table) -> None:
    """Print a table; what reads a pipe gets whole lines."""
    wide = console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)
    wide.print(table)
