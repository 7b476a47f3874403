"""The commands for a problem of your own: new, profile, check."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.entrypoints.cli.app import app, console

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.scaffold.plan import ProblemPlan
    from pipelines.scaffold.profile import ColumnProfile
    from pipelines.scaffold.sample import Sample

problem_app = typer.Typer(help="A problem of your own: write it from a sample, check it.", no_args_is_help=True)
app.add_typer(problem_app, name="problem")

Zone = Annotated[str, typer.Option("--timezone", help="Of times without a time zone, such as Europe/Berlin.")]
TimeFormat = Annotated[str | None, typer.Option(help="How times are written when not as ISO 8601: '%d.%m.%Y %H:%M'.")]


@problem_app.command("profile")
def profile_command(
    file: Annotated[Path, typer.Argument(help="A .csv or .parquet file.")],
    zone: Zone = "UTC",
    time_format: TimeFormat = None,
) -> None:
    """Show what the columns of a file are like: type, missing, distinct, range, and which look personal."""
    from pipelines.scaffold.profile import profile
    from pipelines.scaffold.sample import read_sample

    sample = read_sample(file, zone, time_format)
    _show(file, sample, profile(sample))


@problem_app.command("new")
def new_command(
    file: Annotated[Path, typer.Option("--sample", help="A .csv or .parquet file, one request and its label a row.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The package to write.")] = Path("model"),
    replace: Annotated[
        str | None, typer.Option(metavar="NAME", help="Remove the problem of this name that is there now.")
    ] = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing: flags, and what the sample says.")] = False,
    name: Annotated[str | None, typer.Option(help="Such as bike-rentals. Default: the file's.")] = None,
    title: Annotated[str | None, typer.Option(help="A line for people.")] = None,
    goal: Annotated[str | None, typer.Option(help="What is done with the prediction.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for it: an address.")] = None,
    task: Annotated[
        str | None, typer.Option(help="binary_classification or regression. Default: as the label.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="The column that names a row, or several: station,asked_at.")] = None,
    event_time: Annotated[str | None, typer.Option(help="When the prediction is asked for.")] = None,
    label: Annotated[str | None, typer.Option(help="A column, or SQL such as 'minutes > 15'.")] = None,
    label_time: Annotated[str | None, typer.Option(help="The column that says when the label was known.")] = None,
    label_delay: Annotated[str | None, typer.Option(help="Or how long after the request it is: 2d, 6h.")] = None,
    known_later: Annotated[str | None, typer.Option(help="Other columns that are known only with the label.")] = None,
    entities: Annotated[
        str | None, typer.Option(help="Columns whose recent labels are features: a,b, or none.")
    ] = None,
    personal: Annotated[
        str | None, typer.Option(help="Personal columns: a,b, or none. Default: what looks so.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Of the costs.")] = None,
    false_alarm: Annotated[str | None, typer.Option(help="Cost of acting for nothing.")] = None,
    miss: Annotated[str | None, typer.Option(help="Cost of not acting when it was needed.")] = None,
    over: Annotated[str | None, typer.Option(help="Cost of one unit predicted too much.")] = None,
    under: Annotated[str | None, typer.Option(help="Cost of one unit predicted too little.")] = None,
    zone: Zone = "UTC",
    time_format: TimeFormat = None,
) -> None:
    """Write a working problem package from a sample file, by questions or by flags alone (--no-input)."""
    flags = {flag: value for flag, value in locals().items() if isinstance(value, str | None)}
    from pipelines.scaffold.interview import interview
    from pipelines.scaffold.plan import check_size
    from pipelines.scaffold.profile import profile
    from pipelines.scaffold.sample import read_sample
    from pipelines.scaffold.write import check_place, write

    check_place(output, replace)
    sample = read_sample(file, zone, time_format)
    profiles = profile(sample)
    _show(file, sample, profiles)
    check_size(sample.rows.num_rows)
    answers = interview(file, sample, profiles, flags, None if no_input else console)
    _next(output, write(sample, answers, zone, output, replace))


@problem_app.command("check")
def check_command(
    context: typer.Context,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Also try it on the source's rows of this UTC day.")
    ] = None,
) -> None:
    """Say everything that is wrong with the problem package at once, or what it consists of."""
    from pipelines.scaffold.check import errors, summary

    platform: Platform = context.obj
    package = platform.settings.problem
    found = errors(package, day.replace(tzinfo=UTC) if day else None)
    for line in found:
        console.print(f"[red]✘[/] {escape(line)}", soft_wrap=True)
    if found:
        raise typer.Exit(1)
    for line in summary(platform.problem):
        console.print(f"[green]✔[/] {escape(line)}", soft_wrap=True)
    if not day:
        console.print("  [dim]not tried on rows; --day 2024-03-01 reads that day from the source[/]")


def _show(file: Path, sample: "Sample", profiles: "Mapping[str, ColumnProfile]") -> None:
    table = Table("column", "type", "missing", "distinct", "range or examples", "", box=None, header_style="dim")
    for column in profiles.values():
        distinct = "unique" if column.unique else f"{column.distinct:,}"
        personal = f"[yellow]personal: {column.personal}[/]" if column.personal else ""
        missing = f"{column.missing / column.rows:.1%}" if column.missing else ""
        table.add_row(column.name, column.type, missing, distinct, escape(_range(column)), personal)
    console.print(f"[bold]{escape(str(file))}[/] {sample.rows.num_rows:,} rows, {len(profiles)} columns")
    console.print(table)
    for note in sample.notes:
        console.print(f"[yellow]note[/] {escape(note)}", soft_wrap=True)


def _range(column: "ColumnProfile") -> str:
    if column.personal:
        return ""
    if isinstance(column.low, datetime) and isinstance(column.high, datetime):
        return f"{column.low:%Y-%m-%d %H:%M} to {column.high:%Y-%m-%d %H:%M}"
    if column.low is not None:
        return f"{column.low:g} to {column.high:g}"
    return ", ".join(map(str, column.examples))[:60]


def _next(folder: Path, plan: "ProblemPlan") -> None:
    """Say what to do next, with the days of the sample."""
    done = f"{folder}: a problem that runs; what was guessed is marked SAMPLE in its problem.toml"
    console.print(f"[green]✔[/] {done}", soft_wrap=True)
    for command in (
        f"pytest {folder}/tests --no-cov --numprocesses=0",
        f"mlops problem check --day {plan.first + timedelta(days=1)}",
        f"mlops run feature --set start={plan.first} --set end={plan.end}",
        f"mlops run training --set as_of={plan.end}",
    ):
        console.print(f"  [dim]next:[/] uv run {command}", soft_wrap=True)
