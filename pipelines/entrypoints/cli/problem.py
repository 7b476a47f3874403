"""The commands for a problem of your own: new, profile, check."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import Json, command, group
from pipelines.entrypoints.cli.exit_codes import ExitCode
from pipelines.entrypoints.cli.terminal import NO, console, done, print_json, print_table, say, suggest

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.scaffold.plan import ProblemPlan
    from pipelines.scaffold.profile import ColumnProfile
    from pipelines.scaffold.sample import Sample

problem_app = group("problem", "Write a problem of your own from a sample file, and check it.")

Zone = Annotated[str, typer.Option("--timezone", metavar="ZONE", help="Of times without one, such as Europe/Berlin.")]
TimeFormat = Annotated[
    str | None, typer.Option(metavar="FORMAT", help="Of times that are not ISO 8601, such as '%d.%m.%Y %H:%M'.")
]


def _answer(text: str, kind: str = "TEXT") -> Any:
    """Return an option that answers a question of 'mlops problem new'."""
    return typer.Option(metavar=kind, help=text, rich_help_panel="Answers")


@command(problem_app, "mlops problem profile rentals.csv", "mlops problem profile rentals.csv --timezone Europe/Berlin")
def profile_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .parquet file.")],
    zone: Zone = "UTC",
    time_format: TimeFormat = None,
    as_json: Json = False,
) -> None:
    """Show the columns of a file: type, missing, distinct, range, personal."""
    from pipelines.scaffold.profile import profile
    from pipelines.scaffold.sample import read_sample

    sample = read_sample(file, zone, time_format)
    if as_json:
        print_json({"rows": sample.rows.num_rows, "columns": [one._asdict() for one in profile(sample).values()]})
    else:
        _show(file, sample, profile(sample))


@command(
    problem_app,
    "mlops problem new --sample rentals.csv",
    "mlops problem new --sample rentals.csv --no-input --label 'fare > 15'",
)
def new_command(
    file: Annotated[
        Path, typer.Option("--sample", metavar="FILE", help="A .csv or .parquet file: a request and its label a row.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The package to write.")] = Path(
        "model"
    ),
    replace: Annotated[
        str | None, typer.Option(metavar="NAME", help="Remove the problem of this name that is there now.")
    ] = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing: use flags and the sample.")] = False,
    zone: Zone = "UTC",
    time_format: TimeFormat = None,
    name: Annotated[str | None, _answer("Such as bike-rentals. Default: the file's.", "NAME")] = None,
    title: Annotated[str | None, _answer("A line for people.")] = None,
    goal: Annotated[str | None, _answer("What the prediction is used for.")] = None,
    owner: Annotated[str | None, _answer("Who answers for it: an address.")] = None,
    task: Annotated[str | None, _answer("binary_classification or regression. Default: by the label.")] = None,
    key: Annotated[str | None, _answer("The columns that name a row: station,asked_at.", "COLUMNS")] = None,
    event_time: Annotated[str | None, _answer("When the prediction is asked for.", "COLUMN")] = None,
    label: Annotated[str | None, _answer("A column, or SQL such as 'minutes > 15'.", "SQL")] = None,
    label_time: Annotated[str | None, _answer("When the label was known.", "COLUMN")] = None,
    label_delay: Annotated[str | None, _answer("Or how long after the request: 2d, 6h.", "DURATION")] = None,
    known_later: Annotated[str | None, _answer("Others known only with the label.", "COLUMNS")] = None,
    entities: Annotated[str | None, _answer("Whose recent labels are features: a,b, or none.", "COLUMNS")] = None,
    personal: Annotated[str | None, _answer("Personal ones: a,b, or none. Default: guessed.", "COLUMNS")] = None,
    currency: Annotated[str | None, _answer("Of the costs.")] = None,
    false_alarm: Annotated[str | None, _answer("Cost of acting for nothing.", "NUMBER")] = None,
    miss: Annotated[str | None, _answer("Cost of not acting when it was needed.", "NUMBER")] = None,
    over: Annotated[str | None, _answer("Cost of one unit predicted too much.", "NUMBER")] = None,
    under: Annotated[str | None, _answer("Cost of one unit predicted too little.", "NUMBER")] = None,
) -> None:
    """Write a working problem package from a sample file, by questions or flags."""
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


@command(problem_app, "mlops problem check", "mlops problem check --day 2013-03-01")
def check_command(
    context: typer.Context,
    day: Annotated[
        datetime | None,
        typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="Also read the source's rows of this day in UTC."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the problem package: list all that is wrong, or what it holds.

    Exits with 3 when anything is wrong.
    """
    from pipelines.scaffold.check import errors, summary

    platform: Platform = context.obj
    found = list(errors(platform.settings.problem, day.replace(tzinfo=UTC) if day else None))
    if as_json:
        print_json({"errors": found, "summary": [] if found else list(summary(platform.problem))})
    for line in () if as_json else found:
        say(f"{NO} {escape(line)}")
    if found:
        raise typer.Exit(ExitCode.NO)
    for line in () if as_json else summary(platform.problem):
        done(line)
    if not day and not as_json:
        console.print("  [dim]not tried on rows; --day 2024-03-01 reads that day from the source[/]")


def _show(file: Path, sample: "Sample", profiles: "Mapping[str, ColumnProfile]") -> None:
    rows = []
    for column in profiles.values():
        distinct = "unique" if column.unique else f"{column.distinct:,}"
        missing = f"{column.missing / column.rows:.1%}" if column.missing else ""
        shown = f"[yellow]personal: {column.personal}[/]" if column.personal else escape(_range(column))
        rows.append((escape(column.name), column.type, missing, distinct, shown))
    console.print(f"[bold]{escape(str(file))}[/] {sample.rows.num_rows:,} rows, {len(profiles)} columns")
    print_table(("column", "type", "missing", "distinct", "range or examples"), rows)
    for note in sample.notes:
        say(f"[yellow]note[/] {escape(note)}")


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
    done(f"{folder}: a problem that runs; what was guessed is marked SAMPLE in its problem.toml")
    suggest(
        f"uv run pytest {folder}/tests --no-cov --numprocesses=0",
        f"uv run mlops problem check --day {plan.first + timedelta(days=1)}",
        f"uv run mlops run feature --set start={plan.first} --set end={plan.end}",
        f"uv run mlops run training --set as_of={plan.end}",
    )
