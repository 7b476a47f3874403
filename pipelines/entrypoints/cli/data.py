"""The commands about an environment's data: data pull and data frame bring it here, data diff tells corrections."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.entrypoints.cli.app import AsOf, Json, command, group, moment
from pipelines.entrypoints.cli.terminal import done, print_json, print_table

if TYPE_CHECKING:
    from pipelines.bootstrap import Platform
    from pipelines.feature.knowledge import Change

_NEVER = datetime.min.replace(tzinfo=UTC)

data_app = group("data", "Bring raw rows or a frame here, and see what corrections changed.")

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
    from pipelines.config import WrongUsage, nearest
    from pipelines.feature.knowledge import changes

    platform: Platform = context.obj
    tables = platform.problem.config.tables
    if table not in tables:
        raise WrongUsage(f"there is no raw table {table!r}; {nearest(table, tables)}")
    if run and (since or until):
        raise WrongUsage("give --run, or --since and --until")
    first, last = _of_run(platform, run, table) if run else (_utc(since), _utc(until))
    versions = platform.tables.read(f"raw.{table}", versions=True)
    found = changes(versions, tables[table], first, last)
    counts = {kind: sum(change.kind == kind for change in found) for kind in ("added", "withdrawn", "changed")}
    if as_json:
        print_json({"table": table, **counts, "changes": [change._asdict() for change in found[:limit]]})
        return
    done(f"{table}: " + ", ".join(f"{count:,} {kind}" for kind, count in counts.items()))
    if found:
        print_table(["known from", "", "row"], [_told(change) for change in found[:limit]])


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
