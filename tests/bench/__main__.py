"""Runs the benchmarks and prints what they measured; ``--plot FILE`` draws the servers' figures."""

import argparse
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.bench.benchmarks import BENCHMARKS
from tests.bench.judge import measure_judge
from tests.bench.models import measure_models
from tests.bench.serving import measure_serving
from tests.bench.streaming import measure_streaming
from tests.bench.sweep import measure_sweep
from tests.bench.training import measure_training


def main(names: list[str], plot: Path | None) -> None:
    console = Console()
    table = Table("what", "measured", "baseline", "ratio", "bar", box=SIMPLE_HEAD, header_style="dim", pad_edge=False)
    benchmarks = {**BENCHMARKS, "judge": measure_judge, "serving": partial(measure_serving, plot)}
    networks = {
        "training": measure_training,
        "streaming": measure_streaming,
        "models": measure_models,
        "sweep": measure_sweep,
    }
    for name, benchmark in {**benchmarks, **networks}.items():
        if name not in (names or benchmarks):
            continue
        with console.status(name):
            for row in benchmark():
                mark = "[green]✔[/]" if row.met else "[red]✘[/]" if row.bar else " "
                table.add_row(row.what, row.measured, row.baseline, row.ratio, f"{mark} {row.bar}")
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", help="which benchmarks; all when none is named")
    parser.add_argument("--plot", type=Path, help="where to draw what the serving benchmark measured")
    main(**vars(parser.parse_args()))
