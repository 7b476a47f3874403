"""The commands for a problem of your own: new, profile, check."""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipelines.entrypoints.cli.app import Json, command, group
from pipelines.entrypoints.cli.exit_codes import ExitCode
from pipelines.entrypoints.cli.terminal import NO, OK, console, done, print_json, print_table, say, suggest

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.scaffold.first_run import FirstRun
    from pipelines.scaffold.plan import ProblemPlan
    from pipelines.scaffold.profile import ColumnProfile
    from pipelines.scaffold.sample import Sample

problem_app = group("problem", "Write a problem of your own from a sample file, and check it.")

Zone = Annotated[str, typer.Option("--timezone", metavar="ZONE", help="Of times without one, such as Europe/Berlin.")]
Read = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=HOW",
        help="How to read a column: text, integer, float, boolean, time, thousands (1,234), decimal-comma; of local "
        "times that occur twice or never: earlier, later, missing.",
    ),
]
Missing = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN=WORD", help="A word that means missing in a column, such as NA.")
]
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
    read: Read = None,
    missing: Missing = None,
    as_json: Json = False,
) -> None:
    """Show the columns of a file: type, missing, distinct, range, personal."""
    from pipelines.scaffold.profile import profile
    from pipelines.scaffold.sample import Reading, read_sample

    sample = read_sample(file, Reading(zone, time_format, tuple(read or ()), tuple(missing or ())))
    if as_json:
        columns = [one._asdict() | {"read_as": sample.rules[one.name]} for one in profile(sample).values()]
        print_json({"rows": sample.rows.num_rows, "columns": columns, "notes": sample.notes})
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
    read: Read = None,
    missing: Missing = None,
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
    """Write a working problem package from a sample file, by questions or flags, and run it once.

    Whatever ends it, it prints the answers so far as flags, to go on from.
    """
    other = {"zone", "time_format", "replace", "read", "missing"}
    flags = {flag: value for flag, value in locals().items() if flag not in other and isinstance(value, str | None)}
    from pipelines.scaffold.first_run import try_out
    from pipelines.scaffold.interview import Asker, interview, read_with_answers
    from pipelines.scaffold.plan import check_size
    from pipelines.scaffold.profile import profile
    from pipelines.scaffold.sample import Reading
    from pipelines.scaffold.write import check_place, write

    check_place(output, replace)
    ask = Asker(flags, None if no_input else console)
    reading = Reading(zone, time_format, tuple(read or ()), tuple(missing or ()))
    try:
        sample, reading = read_with_answers(file, reading, ask)
        profiles = profile(sample)
        _show(file, sample, profiles)
        check_size(sample.rows.num_rows)
        answers = interview(file, sample, profiles, ask, zone)
        plan = write(sample, answers, output, replace)
        with console.status("[dim]runs it: ingest, features, a fit, the gates[/]"):
            trial = try_out(output, plan.first, plan.end)
    finally:
        if ask.there or ask.complete:
            place = f"--sample {shlex.quote(str(file))} --output {shlex.quote(str(output))}"
            given = f"mlops problem new {place} {reading.as_flags()} {ask.as_flags()}"
            say(f"[dim]the same answers as flags[/] {escape(' '.join(given.split()))}")
    _tell(output, trial)
    _next(output, plan)


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
        rule = escape(sample.rules.get(column.name, column.type))
        rows.append((escape(column.name), column.type, rule, missing, distinct, shown))
    console.print(f"[bold]{escape(str(file))}[/] {sample.rows.num_rows:,} rows, {len(profiles)} columns")
    print_table(("column", "type", "read as", "missing", "distinct", "range or examples"), rows)
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


def _tell(folder: Path, trial: "FirstRun") -> None:
    """Say what a run of the new problem saw."""
    ingested = ", ".join(f"{rows:,} {table}" for table, rows in trial.rows.items())
    split = ", ".join(f"{rows:,} {part}" for part, rows in trial.parts.items())
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in trial.metrics.items())
    done(f"{folder} ingested {ingested}; labelled rows: {split}")
    done(f"{trial.estimator} was the best: {escape(metrics)} on the test period")
    for gate, passed, reason in trial.gates:
        say(f"{OK if passed else NO} {gate}: {escape(reason)}")


def _next(folder: Path, plan: "ProblemPlan") -> None:
    """Say what to do next, with the days of the sample."""
    done(f"{folder}: it ran; what was guessed is marked SAMPLE in its problem.toml")
    suggest(
        f"uv run pytest {folder}/tests --no-cov --numprocesses=0",
        "uv run mlops problem check" + (f" --day {plan.busiest}" if plan.busiest else ""),
        f"uv run mlops run feature --set start={plan.first} --set end={plan.end}",
        f"uv run mlops run training --set as_of={plan.end}",
    )
