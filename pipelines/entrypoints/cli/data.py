"""The commands about an environment's data.

data pull and data frame bring it here, data diff tells corrections; data quarantine shows the rows that broke the
contract, data readmit takes them up; data migrate renames and retypes columns.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.entrypoints.cli.app import AsOf, Json, command, group, moment
from pipelines.entrypoints.cli.terminal import console, done, print_json, print_table

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.bootstrap import Platform
    from pipelines.feature.knowledge import Change

_NEVER = datetime.min.replace(tzinfo=UTC)

data_app = group("data", "Bring rows here, see corrections, and take rows out of quarantine.")

Day = Annotated[datetime, typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="A day in UTC; --end is exclusive.")]


@command(
    data_app,
    "mlops data frame frame.parquet",
    "mlops data frame frame.parquet --as-of 2013-09-01",
)
def frame(
    context: typer.Context,
    output: Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.", dir_okay=False)],
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Write the training frame for a notebook.

    It holds the labelled requests of the training periods, each with the features known at its own time.
    """
    import pyarrow.parquet as pq

    from pipelines.training.extract import training_frame

    platform: Platform = context.obj
    rows = training_frame(platform.problem, platform.tables, platform.lookup, moment(platform, as_of))
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f"{output.name}.part")
    pq.write_table(rows, part)
    part.replace(output)
    if as_json:
        print_json({"output": str(output), "rows": rows.num_rows, "columns": rows.column_names})
    else:
        done(f"{output}: {rows.num_rows:,} rows, {rows.num_columns} columns")


@command(
    data_app,
    "mlops -e prod data pull --start 2013-03-01 --end 2013-03-08",
    "mlops data pull --start 2013-03-01 --end 2013-03-02 --sample 1",
)
def pull(
    context: typer.Context,
    start: Day,
    end: Day,
    sample: Annotated[
        float, typer.Option(min=0.001, max=1, metavar="SHARE", help="Share of the entities' rows.")
    ] = 0.1,
    into: Annotated[Path, typer.Option(metavar="FOLDER", help="The embedded home to write to.")] = Path(".ratchet"),
    as_json: Json = False,
) -> None:
    """Copy raw rows of some days, or a sample, to work without the cloud."""
    from pipelines.feature.sampling import pull_sample

    platform: Platform = context.obj
    here = platform.changed({"profile": "embedded", "home": into})
    pulled = dict(pull_sample(platform.problem, platform.tables, here.tables, start, end, sample))
    if as_json:
        print_json(pulled)
        return
    for table, rows in pulled.items():
        done(f"{table}: {rows:,} rows")


@command(
    data_app,
    "mlops data diff arrivals",
    "mlops data diff arrivals --since 2013-09-01 --until 2013-09-08 --json",
    "mlops data diff arrivals --run feature-20130901",
)
def diff(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A raw table, as problem.toml names it.")],
    since: Annotated[
        datetime | None, typer.Option(metavar="TIME", help="From when the changes are known, UTC.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(metavar="TIME", help="Until when, itself excluded.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Of this run of the feature pipeline alone.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many rows to show; all are counted.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what corrections changed: rows of days ingested before that were added, withdrawn or changed."""
    from pipelines.config import WrongUsage
    from pipelines.feature import schema
    from pipelines.feature.knowledge import changes

    platform: Platform = context.obj
    tables = platform.problem.config.tables
    _check_table(platform, table)
    if run and (since or until):
        raise WrongUsage("give --run, or --since and --until")
    first, last = _of_run(platform, run, table) if run else (_utc(since), _utc(until))
    versions = schema.read(platform.tables, table, tables[table], versions=True)
    found = changes(versions, tables[table], first, last)
    counts = {kind: sum(change.kind == kind for change in found) for kind in ("added", "withdrawn", "changed")}
    if as_json:
        print_json({"table": table, **counts, "changes": [change._asdict() for change in found[:limit]]})
        return
    done(f"{table}: " + ", ".join(f"{count:,} {kind}" for kind, count in counts.items()))
    if found:
        print_table(["known from", "", "row"], [_told(change) for change in found[:limit]])


@command(data_app, "mlops data quarantine", "mlops data quarantine weather --json")
def quarantine(
    context: typer.Context,
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="A raw table, as problem.toml names it; without one, all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the rows that broke the contract of their table, by the rules they broke."""
    from pipelines.feature.quarantine import quarantined

    platform: Platform = context.obj
    if table is not None:
        _check_table(platform, table)
    reasons = [
        reason
        for name in ([table] if table else platform.problem.config.tables)
        if (rows := quarantined(platform.tables, name)) is not None
        for reason in _reasons(platform, name, rows)
    ]
    if as_json:
        print_json(reasons)
        return
    if not reasons:
        done("the quarantine is empty")
        return
    print_table(
        ["table", "rows", "broken rule", "days", "runs", "for example"],
        [
            (
                str(reason["table"]),
                f"{reason['rows']:,}",
                str(reason["rule"]),
                f"{reason['first']:%Y-%m-%d} to {reason['last']:%Y-%m-%d}",
                str(len(reason["runs"])),
                ", ".join(f"{name} {value}" for name, value in reason["example"].items()),
            )
            for reason in reasons
        ],
    )


@command(
    data_app,
    "mlops data readmit weather",
    "mlops data readmit weather --rule 'wind_gust: must be at most'",
    "mlops data readmit weather --run feature-20130901t000000-1a2b3c",
)
def readmit(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A raw table, as problem.toml names it.")],
    rule: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only rows whose broken rules contain this text.")
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only rows that this run put there.")] = None,
    as_json: Json = False,
) -> None:
    """Ingest quarantined rows that keep the contract as it stands now, and compute the features of their days anew.

    They are known from now on. Rows that still break the contract stay.
    """
    import pyarrow.compute as pc

    from pipelines.bootstrap import pipeline
    from pipelines.entrypoints.cli.runs import shown
    from pipelines.feature import FeatureParams, Readmission
    from pipelines.feature.quarantine import DAY, quarantined

    platform: Platform = context.obj
    _check_table(platform, table)
    wanted = Readmission(table=table, rule=rule, run=run)
    rows = quarantined(platform.tables, table, wanted)
    if rows is None or not rows.num_rows:
        if as_json:
            print_json({"table": table, "run_id": None, "readmitted": 0, "stay": 0})
        else:
            done(f"{table}: no such rows in quarantine")
        return
    days = pc.min_max(rows[DAY]).as_py()
    params = FeatureParams(start=days["min"], end=days["max"] + timedelta(days=1), readmit=wanted)
    chosen = pipeline("feature")
    run_id = platform.runner.start(chosen, params, None)
    with shown(chosen, run_id, as_json) as observe:
        platform.runner.run(chosen, run_id, observe)
    ingested = platform.runner.output(chosen, "ingest", run_id)
    left, stay = ingested.readmitted[f"raw.{table}"], ingested.quarantined.get(f"raw.{table}", 0)
    if as_json:
        print_json({"table": table, "run_id": run_id, "readmitted": left, "stay": stay})
    else:
        done(f"{table}: {left:,} rows readmitted, {stay:,} of these days stay in quarantine")


@command(data_app, "mlops data migrate", "mlops data migrate --yes")
def migrate(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Apply the plan, which is else only shown.")] = False,
    as_json: Json = False,
) -> None:
    """Show how the stored tables differ from problem.toml, and rename and retype their columns.

    New columns, wider types and columns that are not declared any more need nothing: the next ingest follows them.
    """
    from pipelines.feature import schema

    platform: Platform = context.obj
    plan = schema.plan(platform.problem, platform.tables)
    if yes:
        schema.migrate(platform.problem, platform.tables)
    if as_json:
        print_json([change._asdict() for change in plan])
        return
    if not plan:
        done("the tables are stored as problem.toml declares")
        return
    print_table(["table", "column", "", ""], [(one.table, one.column, str(one.kind), one.says) for one in plan])
    waiting = sum(change.kind in (schema.ChangeKind.RENAME, schema.ChangeKind.RETYPE) for change in plan)
    if yes:
        done(f"{waiting:,} columns were migrated")
    elif waiting:
        console.print(f"To apply it: [bold]{schema.COMMAND} --yes[/]")


def _check_table(platform: "Platform", table: str) -> None:
    from pipelines.config import WrongUsage, nearest

    tables = platform.problem.config.tables
    if table not in tables:
        raise WrongUsage(f"there is no raw table {table!r}; {nearest(table, tables)}")


def _reasons(platform: "Platform", table: str, rows: "pa.Table") -> list[dict[str, Any]]:
    """Return what rows in quarantine break: how many rows, of which days and runs, and one of them.

    Personal columns are left out of the example.
    """
    from pipelines.feature.quarantine import DAY, RULE, RUN

    columns = platform.problem.config.tables[table].columns
    public = [name for name in rows.column_names if name in columns and not columns[name].personal]
    found = dict[str, dict[str, Any]]()
    for row in rows.sort_by([(RULE, "ascending"), (DAY, "ascending")]).to_pylist():
        new = {"table": table, "rule": row[RULE], "rows": 0, "first": row[DAY], "runs": []}
        reason = found.setdefault(row[RULE], new | {"example": {name: row[name] for name in public}})
        reason["rows"] += 1
        reason["last"] = row[DAY]
        reason["runs"] = sorted({*reason["runs"], row[RUN]})
    return list(found.values())


def _of_run(platform: "Platform", run: str, table: str) -> tuple[datetime, datetime]:
    """Return the span of the one moment from which a run's changes are known; an empty one when it made none."""
    from pipelines.bootstrap import pipeline

    ingested = platform.runner.output(pipeline("feature"), "ingest", run)
    moment = ingested.changed_at.get(f"raw.{table}")
    return (moment, moment + timedelta(microseconds=1)) if moment else (_NEVER, _NEVER)


def _utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time else None


def _told(change: "Change") -> tuple[str, str, str]:
    before, after = change.before or {}, change.after or {}
    values = {
        name: f"{before[name]} → {after[name]}" if before and after and before[name] != after[name] else value
        for name, value in (after or before).items()
    }
    return f"{change.known_at:%Y-%m-%d %H:%M:%S}", change.kind, ", ".join(f"{k} {v}" for k, v in values.items())
