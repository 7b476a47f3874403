"""Athena: queries over the same Iceberg tables, for more than fits on one machine, and table maintenance."""

import io
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.adapters.aws.clients import asking
from pipelines.config import Column, FeatureView, Problem, UserError
from pipelines.contracts import keys
from pipelines.feature.knowledge import first_known
from pipelines.feature.offline import reads_corrected
from pipelines.feature.window import corrected_rows, window_join
from pipelines.storage.ports import Unavailable
from pipelines.storage.sql import session
from pipelines.storage.tables import KNOWN_UNTIL, Tables

_RUNNING = {"QUEUED", "RUNNING"}
_POLL_SECONDS = 2.0
_MOST_RUNS = 20  # of one maintenance statement; the rest waits for the next time


class Athena:
    """Runs queries in an environment's workgroup, whose results are in the lake."""

    def __init__(self, client: Any, s3: Any, workgroup: str, lake: str, tables: Tables) -> None:
        self._client, self._s3, self._workgroup, self._lake, self._tables = client, s3, workgroup, lake, tables

    def lookup(self, problem: Problem, snapshots: Mapping[str, int], requests: pa.Table) -> pa.Table:
        """Return the views' features for each request, in the requests' order; see :mod:`pipelines.feature.window`.

        Raises:
            UserError: when the key of requests is not declared unique, because the answer is joined by it.
        """
        config = problem.config
        if not config.tables[config.request.table].columns[config.key].unique:
            raise UserError(f"to join on Athena, declare that {config.key} is unique in problem.toml")
        span = pc.min_max(requests[config.event_time])
        found = self.query(self.join(problem, snapshots, span["min"].as_py(), span["max"].as_py()))
        with session(requests=requests, found=found) as connection:
            names = ", ".join(f'"{name}"' for view in problem.views for name in view.features)
            keys = f'SELECT "{config.key}" AS key, row_number() OVER () AS place FROM requests'
            query = f"SELECT {names} FROM ({keys}) LEFT JOIN found USING (key) ORDER BY place"
            return connection.sql(query).to_arrow_table()

    def join(self, problem: Problem, snapshots: Mapping[str, int], first: Any, last: Any) -> str:
        """Return the join for the requests of a span, both ends included, at the given snapshots."""
        config = problem.config
        time, columns = config.event_time, {config.key, config.event_time}
        columns |= {column for view in problem.views for column in view.entity}
        listed = ", ".join(_listed(column, config.request_columns[column], time) for column in sorted(columns))
        inside = f'"{time}" BETWEEN {_moment(first)} AND {_moment(last)}'
        name = f"raw.{config.request.table}"
        stored = self._tables.stored_names(name, snapshots.get(name))
        evolved = [
            _evolved(one, config.request_columns[one], stored) for one in sorted(columns) if stored.get(one) != one
        ]
        chosen, asked = ", ".join(["*", *evolved]), self._at(name, snapshots)
        as_corrected = config.tables[config.request.table].corrections == "corrected"
        known = f" AND {KNOWN_UNTIL} IS NULL" if as_corrected else ""
        rows = f"(SELECT {chosen} FROM {asked} WHERE {inside}{known}) given"
        requests = f"({first_known(config.key, rows, listed)})"
        views = [(view, self._view(problem, view, snapshots)) for view in problem.views]
        return window_join(requests, config.key, time, views)

    def _view(self, problem: Problem, view: FeatureView, snapshots: Mapping[str, int]) -> str:
        rows = self._at(f"features.{view.versioned_name}", snapshots)
        return corrected_rows(view, rows) if reads_corrected(problem, view) else rows

    def query(self, sql: str) -> pa.Table:
        """Return the result of a query, which Athena writes as Parquet below the lake's ``queries/``."""
        prefix = f"{keys.QUERIES}{uuid.uuid4().hex}/"
        self.run(f"UNLOAD ({sql}) TO 's3://{self._lake}/{prefix}' WITH (format = 'PARQUET')")
        with asking("S3"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._lake, Prefix=prefix)
            written = [item["Key"] for page in pages for item in page.get("Contents", ())]
            files = [self._s3.get_object(Bucket=self._lake, Key=key)["Body"].read() for key in written]
        return pa.concat_tables([pq.read_table(io.BytesIO(data)) for data in files])

    def maintain(self, name: str) -> None:
        """Compact a table's files, and delete what no kept snapshot needs."""
        for statement in maintenance(*self._tables.address(name)):
            for _ in range(_MOST_RUNS):
                if not self._left_over(statement):
                    break

    def _left_over(self, sql: str) -> bool:
        """Run a maintenance statement, and return whether Athena asks to run it again for what it had no time for."""
        try:
            self.run(sql)
        except UserError as error:
            if "MORE_RUNS_NEEDED" not in str(error):
                raise
            return True
        return False

    def run(self, sql: str) -> None:
        """Run a statement to its end.

        Raises:
            UserError: when Athena refuses or fails it, with the reason.
        """
        with asking("Athena"):
            query = self._client.start_query_execution(
                QueryString=sql, WorkGroup=self._workgroup, ClientRequestToken=uuid.uuid4().hex
            )["QueryExecutionId"]
            while (status := self._status(query))["State"] in _RUNNING:
                time.sleep(_POLL_SECONDS)
        if status["State"] != "SUCCEEDED":
            reason = status.get("StateChangeReason", status["State"])
            if status.get("AthenaError", {}).get("Retryable"):
                raise Unavailable(f"Athena is busy or failing ({reason}); ask again later")
            raise UserError(f"Athena failed: {reason}; the query was: {sql[:500]}")

    def _status(self, query: str) -> dict[str, Any]:
        execution = self._client.get_query_execution(QueryExecutionId=query)
        return execution["QueryExecution"]["Status"]  # type: ignore[no-any-return]

    def _at(self, name: str, snapshots: Mapping[str, int]) -> str:
        namespace, table = self._tables.address(name)
        version = f" FOR VERSION AS OF {snapshots[name]}" if name in snapshots else ""
        return f'"{namespace}"."{table}"{version}'


def maintenance(namespace: str, table: str) -> list[str]:
    """Return the statements that keep an Iceberg table fast and small.

    Names are bare: our letters, digits and underscores need no quotes, and these statements know no double ones
    (https://docs.aws.amazon.com/athena/latest/ug/vacuum-statement.html).
    https://docs.aws.amazon.com/athena/latest/ug/querying-iceberg-data-optimization.html: OPTIMIZE compacts small
    files; VACUUM expires snapshots, by the table's properties those older than five days, and deletes orphaned files.
    """
    return [f"OPTIMIZE {namespace}.{table} REWRITE DATA USING BIN_PACK", f"VACUUM {namespace}.{table}"]


def _evolved(name: str, column: Column, stored: Mapping[str, str]) -> str:
    """Return a column that a snapshot does not have, or has by another name."""
    former = stored.get(name) or stored.get(column.renamed_from or name)
    if former:
        return f'"{former}" AS "{name}"'
    given = "NULL" if column.default is None else "'" + str(column.default).replace("'", "''") + "'"
    return f'CAST({given} AS varchar) AS "{name}"'


def _listed(name: str, column: Column, time: str) -> str:
    """Return a column of the requests; entities are text, as in :mod:`pipelines.feature.entity`."""
    return f'"{name}"' if name == time or column.type == "string" else f'CAST("{name}" AS varchar) AS "{name}"'


def _moment(time: Any) -> str:
    return f"TIMESTAMP '{time:%Y-%m-%d %H:%M:%S.%f} UTC'"
