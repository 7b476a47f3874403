"""Splits one wide file into the raw tables of a problem: what is known at the request, and what with the label."""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.scaffold.answers import InterviewAnswers, as_text, columns_of, known_at, labels
from pipelines.scaffold.names import unlike
from pipelines.scaffold.profile import ColumnProfile, profile
from pipelines.scaffold.sample import Sample

REQUESTS, OUTCOMES, KNOWN_AT = "requests", "outcomes", "known_at"


class RawTables(NamedTuple):
    """The rows of both tables, the profiles of their columns, and the name of the key.

    Personal columns are declared without values, which stay out of the repository.
    """

    requests: pa.Table
    outcomes: pa.Table
    request_profiles: Mapping[str, ColumnProfile]
    outcome_profiles: Mapping[str, ColumnProfile]
    key: str


def split(sample: Sample, answers: InterviewAnswers) -> RawTables:
    """Return the tables; a row without a label, or without its time, has no outcome (yet)."""
    rows = sample.rows
    alone = len(answers.key) == 1 and answers.key[0] != answers.event_time
    key = answers.key[0] if alone else unlike("request_id", rows.column_names)
    texts = {name: as_text(sample, name) for name in answers.entities}
    texts[key] = _key(sample, answers)
    read = columns_of(answers.label, rows.column_names)
    later = [name for name in rows.column_names if name in {*read, *answers.outcomes} and name != answers.label_time]
    now = [name for name in rows.column_names if name not in {*later, answers.label_time, key}]
    requests = {key: texts[key], **{name: texts.get(name, rows[name]) for name in now}}
    outcomes = {key: texts[key], KNOWN_AT: known_at(sample, answers)}
    outcomes |= {name: texts[name] for name in answers.entities} | {name: rows[name] for name in later}
    known = pc.and_(pc.is_valid(labels(sample, answers.label)), pc.is_valid(outcomes[KNOWN_AT]))
    return RawTables(
        requests=pa.table(_without(requests, answers)).sort_by(answers.event_time),
        outcomes=pa.table(_without(outcomes, answers)).filter(known).sort_by(KNOWN_AT),
        request_profiles=_profiles(pa.table(requests)),
        outcome_profiles=_profiles(pa.table(outcomes).filter(known)),
        key=key,
    )


def _key(sample: Sample, answers: InterviewAnswers) -> pa.ChunkedArray:
    """Return the key as text: of several columns, their values with ``/`` between them; of none, the row's number."""
    if not answers.key:
        return pa.chunked_array([pa.array(range(1, sample.rows.num_rows + 1)).cast(pa.string())])
    parts = [as_text(sample, name) for name in answers.key]
    return pc.binary_join_element_wise(*parts, "/") if len(parts) > 1 else parts[0]


def _without(columns: Mapping[str, pa.ChunkedArray], answers: InterviewAnswers) -> dict[str, pa.ChunkedArray]:
    """Return the columns with nulls in the personal ones."""
    return {
        name: pa.chunked_array([pa.nulls(len(values), values.type)]) if name in answers.personal else values
        for name, values in columns.items()
    }


def _profiles(rows: pa.Table) -> dict[str, ColumnProfile]:
    return profile(Sample(rows, {}, ()))
