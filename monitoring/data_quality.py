"""Data quality: checks rows against the contract that ``problem.toml`` states for their table."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Column, RawTable


class Violation(NamedTuple):
    """A broken rule: its column, how many values break it, some of them, and the rows that break it, from 0.

    ``at`` is None for a rule of a column or a day as a whole, which no row breaks alone.
    """

    column: str
    rule: str
    rows: int
    examples: tuple[object, ...] = ()
    at: pa.Array | None = None

    @property
    def first(self) -> int | None:
        """The first row that breaks the rule, from 0."""
        return self.at[0].as_py() if self.at is not None and len(self.at) else None

    def __str__(self) -> str:
        shown = f", for example {', '.join(repr(value) for value in self.examples)}" if self.examples else ""
        return f"{self.column}: {self.rule} ({self.rows:,} rows{shown})"


def missing_columns(rows: pa.Table, contract: RawTable) -> list[Violation]:
    """Return a violation for each declared column that the rows lack."""
    return [
        Violation(name, "the column is missing", rows.num_rows)
        for name in contract.columns
        if name not in rows.column_names
    ]


def violations(rows: pa.Table, contract: RawTable, start: date, end: date) -> list[Violation]:
    """Check rows of the days ``[start, end)``, already cast to the declared types, against a table's contract."""
    return column_violations(rows, contract.columns) + _days(rows[contract.event_time], contract, start, end)


def column_violations(rows: pa.Table, columns: Mapping[str, Column]) -> list[Violation]:
    """Check the values of rows, already cast to the declared types, without looking at their days."""
    return [broken for name, column in columns.items() for broken in _column(name, rows[name], column)]


def _column(name: str, values: pa.ChunkedArray, column: Column) -> list[Violation]:
    rules: list[tuple[str, pa.ChunkedArray]] = []
    if not column.nullable:
        rules.append(("must not be missing", pc.is_null(values, nan_is_null=True)))
    if column.min is not None:
        rules.append((f"must be at least {column.min:g}", pc.less(values, column.min)))
    if column.max is not None:
        rules.append((f"must be at most {column.max:g}", pc.greater(values, column.max)))
    if column.values is not None:
        known = pc.or_kleene(pc.is_in(values, pa.array(column.values)), pc.is_null(values))
        rules.append((f"must be one of {', '.join(column.values)}", pc.invert(known)))
    if column.unique:
        counts = pc.value_counts(values.combine_chunks())
        several = counts.filter(pc.greater(counts.field("counts"), 1)).field(0)
        rules.append(("must be unique", pc.is_in(values, several)))
    found = [_violation(name, rule, values, pc.indices_nonzero(broken.combine_chunks())) for rule, broken in rules]
    return [violation for violation in found if violation.rows]


def _violation(name: str, rule: str, values: pa.ChunkedArray, bad: pa.Array) -> Violation:
    examples = dict.fromkeys(values.take(bad.slice(0, 3)).to_pylist())
    shown = tuple(value for value in examples if value is not None)
    return Violation(name, rule, len(bad), shown, bad)


def _days(times: pa.ChunkedArray, contract: RawTable, start: date, end: date) -> list[Violation]:
    counted = pc.value_counts(times.drop_null().cast(pa.date32()))  # a missing time is told as such
    rows_of = dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
    days = [start + timedelta(days=offset) for offset in range((end - start).days)]
    short = [day for day in days if rows_of.get(day, 0) < contract.min_rows_per_day]
    outside = [day for day in rows_of if not start <= day < end]
    found = []
    if short:
        rule = f"{len(short)} days have fewer than {contract.min_rows_per_day:,} rows"
        examples = tuple(f"{day}: {rows_of.get(day, 0)}" for day in short[:3])
        found.append(Violation(contract.event_time, rule, sum(rows_of.get(day, 0) for day in short), examples))
    if outside:
        rule = f"must lie in {start} to {end}, its end excluded"
        count = sum(rows_of[day] for day in outside)
        found.append(Violation(contract.event_time, rule, count, tuple(str(day) for day in outside[:3])))
    return found
