"""Runs the benchmarks and prints what they measured."""

import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.bench.benchmarks import BENCHMARKS


def main(names: list[str]) -> None:
    console = Console()
    table = Table("what", "measured", "baseline", "ratio", "bar", box=SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for name, benchmark in BENCHMARKS.items():
        if names and name not in names:
            continue
        with console.status(name):
            for row in benchmark():
                mark = "[green]✔[/]" if row.met else "[red]✘[/]" if row.bar else " "
                table.add_row(row.what, row.measured, row.baseline, row.ratio, f"{mark} {row.bar}")
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
