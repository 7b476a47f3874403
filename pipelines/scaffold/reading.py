"""Decides the type of a column of text, without changing a value in silence.

A column is read as another type than text only where each of its values can be written back from what was read: so
``01`` stays text, because the integer 1 is not ``01``. What is lost nevertheless, such as the 20th digit of a number,
is told in ``ColumnReading.told``; what can be read in two ways is asked about in ``ColumnReading.question``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import UserError, WrongUsage, nearest
from pipelines.storage.sql import session
from pipelines.storage.tables import TIMESTAMP

MISSING_WORDS = ("NA", "N/A", "n/a", "<NA>", "NULL", "null", "NaN", "nan", "None")
"""What files write for a missing number or time. In a column of text they may be values: NA is Namibia."""

READ_AS = ("text", "integer", "float", "boolean", "time", "thousands", "decimal-comma", "earlier", "later", "missing")
"""What ``--read COLUMN=HOW`` accepts; the last three are for local times that occur twice or never."""

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_FLOAT = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DIGITS = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_THOUSANDS = re.compile(r"-?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"-?(0|[1-9][0-9]*|[1-9][0-9]{0,2}(\.[0-9]{3})+)(,[0-9]+)?")
_DECORATED = re.compile(r"(?P<sign>-?)(?P<before>[$€£¥]?) ?(?P<number>[0-9.,]+) ?(?P<after>[%$€£¥]?)")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_ZONED = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)")
_BOOLEANS = ({"true", "false"}, {"True", "False"}, {"TRUE", "FALSE"})
_LOCAL = ("earlier", "later", "missing")


class Question(NamedTuple):
    """What can be read in several ways: what was seen, and the answers to choose from, by what each means."""

    text: str
    answers: Mapping[str, str]


class ColumnReading(NamedTuple):
    """A column as it was read: its values, the rule in a few words, and what a person is told or asked."""

    values: pa.ChunkedArray
    rule: str
    told: str = ""
    question: Question | None = None


def read_text(
    name: str, texts: pa.ChunkedArray, zone: str, how: str | None = None, time_format: str | None = None, only: str = ""
) -> ColumnReading:
    """Return a column of text in the first of these types that keeps all of its values: boolean, integer, float, time.

    ``how`` is a person's choice; ``only`` allows one type beside text.

    Raises:
        WrongUsage: when ``how`` is unknown, or does not fit the values.
    """
    if how is not None and how not in READ_AS:
        raise WrongUsage(f"--read {name}={how}: there is no {how!r}; {nearest(how, READ_AS)}")
    seen = [word for word in pc.unique(texts).to_pylist() if word is not None and word.strip() not in MISSING_WORDS]
    if how == "text" or not seen:
        return ColumnReading(texts, "text", _why_text(name, texts, seen) if how is None and not only else "")
    chosen = "time" if how in _LOCAL else how
    readers: Mapping[str, Callable[[], ColumnReading | None]] = {
        "boolean": lambda: _boolean(texts, seen),
        "integer": lambda: _integer(texts, seen, forced=how == "integer"),
        "float": lambda: _float(texts, seen, forced=how == "float"),
        "time": lambda: _time(name, texts, seen, zone, how, time_format),
        "thousands": lambda: _decorated(name, texts, seen, how),
        "decimal-comma": lambda: _decorated(name, texts, seen, how),
    }
    kinds = [chosen] if chosen else [only] if only else ["boolean", "integer", "float", "time", "thousands"]
    found = next((read for kind in kinds if (read := readers[kind]()) is not None), None)
    if found is None and how:
        raise WrongUsage(f"--read {name}={how} does not fit its values, such as {', '.join(map(repr, seen[:3]))}")
    if found is None:
        return ColumnReading(texts, "text", _why_text(name, texts, seen) if not only else "")
    words = _count(texts, MISSING_WORDS)
    said = [f"{_words(texts)} ({words:,} values) is read as missing; --read {name}=text keeps it"] if words else []
    return found._replace(told="; ".join([*said, *([found.told] if found.told else [])]))


def _boolean(texts: pa.ChunkedArray, seen: Sequence[str]) -> ColumnReading | None:
    if not any(set(seen) <= pair for pair in _BOOLEANS):
        return None
    return ColumnReading(_mapped(texts, {word: word.lower() == "true" for word in seen}, pa.bool_()), "boolean")


def _integer(texts: pa.ChunkedArray, seen: Sequence[str], *, forced: bool) -> ColumnReading | None:
    wanted = re.compile(r"[+-]?[0-9]+") if forced else _INTEGER
    if not all(wanted.fullmatch(word.strip()) and -(2**63) <= int(word) < 2**63 for word in seen):
        return None
    changed = [word for word in seen if str(int(word)) != word.strip()]
    return ColumnReading(
        _mapped(texts, {word: int(word) for word in seen}, pa.int64()),
        "integer",
        f"{changed[0]!r} became {int(changed[0])}, as you chose" if changed else "",
    )


def _float(texts: pa.ChunkedArray, seen: Sequence[str], *, forced: bool) -> ColumnReading | None:
    words = [word.strip() for word in seen]
    if not all(_FLOAT.fullmatch(word) or (forced and _DIGITS.fullmatch(word)) for word in words):
        return None
    if not forced and any(_INTEGER.fullmatch(word) and abs(int(word)) > 2**53 for word in words):
        return None
    return ColumnReading(
        _mapped(texts, {word: float(word) for word in seen}, pa.float64()), "float", _rounded({w: w for w in words})
    )


def _rounded(numbers: Mapping[str, str]) -> str:
    """Tell which numbers, by what is in the file, have more digits than a float holds."""
    changed = [word for word, number in numbers.items() if Decimal(number) != Decimal(repr(float(number)))]
    if not changed:
        return ""
    return f"{len(changed):,} values have more digits than a float: {changed[0]} became {float(numbers[changed[0]])!r}"


def _decorated(name: str, texts: pa.ChunkedArray, seen: Sequence[str], how: str | None) -> ColumnReading | None:
    """Read numbers that are written with a currency, a percent sign, or commas."""
    parts = [_DECORATED.fullmatch(word.strip()) for word in seen]
    if not all(parts):
        return None
    signs = {(part["before"], part["after"]) for part in parts if part}
    numbers = {word: part["sign"] + part["number"] for word, part in zip(seen, parts, strict=True) if part}
    plain = {number for number in numbers.values() if _FLOAT.fullmatch(number)}
    thousands = all(number in plain or _THOUSANDS.fullmatch(number) for number in numbers.values())
    comma = all(_DECIMAL_COMMA.fullmatch(number) for number in numbers.values())
    if how == "thousands":
        comma = False
    elif how == "decimal-comma":
        thousands = False
    elif len(plain) == len(numbers):
        comma = False
        if signs == {("", "")}:
            return None
    if len(signs) > 1 or not (thousands or comma):
        return None
    if thousands and comma:
        example = next(number for number in numbers.values() if "," in number)
        answers = {"thousands": example.replace(",", ""), "decimal-comma": example.replace(".", "").replace(",", ".")}
        question = Question(f"{name}: {example} is", answers | {"text": "text, which is a category or no feature"})
        return ColumnReading(texts, "text", "", question)
    if thousands:
        bare = {word: number.replace(",", "") for word, number in numbers.items()}
    else:
        bare = {word: number.replace(".", "").replace(",", ".") for word, number in numbers.items()}
    first = next((word for word in seen if word.strip() != bare[word]), seen[0])
    ((before, after),) = signs
    unit = f", without the {before or after}" if before or after else ""
    return ColumnReading(
        _mapped(texts, {word: float(number) for word, number in bare.items()}, pa.float64()),
        f"float{unit}{', of a decimal comma' if comma else ''}",
        "; ".join(
            filter(
                None,
                [f"{first.strip()!r} is read as {float(bare[first])!r}; --read {name}=text keeps it", _rounded(bare)],
            )
        ),
    )


def _time(
    name: str, texts: pa.ChunkedArray, seen: Sequence[str], zone: str, how: str | None, time_format: str | None
) -> ColumnReading | None:
    words = [word.strip() for word in seen]
    if all(_ZONED.fullmatch(word) for word in words):
        kind = pa.timestamp("us", "UTC")
    elif all(_TIME.fullmatch(word) for word in words):
        kind = pa.timestamp("us")
    else:
        return local_times(name, parsed, zone, how) if (parsed := _by_format(texts, seen, time_format)) else None
    try:
        values = pa.array(words, pa.string()).cast(kind)
    except pa.ArrowInvalid:  # such as the 30th of February
        return None
    read = _mapped(texts, dict(zip(seen, values.cast(pa.int64()).to_pylist(), strict=True)), pa.int64()).cast(kind)
    return ColumnReading(read, "time") if kind.tz else local_times(name, read, zone, how)


def _by_format(texts: pa.ChunkedArray, seen: Sequence[str], time_format: str | None) -> pa.ChunkedArray | None:
    """Return local times, or times in UTC where the format has ``%z``; None when a value does not fit the format."""
    if time_format is None:
        return None
    with session(seen=pa.table({"word": seen})) as connection:
        try:
            query = "SELECT try_strptime(trim(word), $format) AS time FROM seen"
            values = connection.sql(query, params={"format": time_format}).to_arrow_table()["time"]
        except duckdb.Error as error:
            raise WrongUsage(f"--time-format {time_format!r}: {str(error).splitlines()[0]}") from error
    if values.null_count:
        return None
    kind = pa.timestamp("us", "UTC" if values.type.tz else None)
    micros = values.cast(kind).cast(pa.int64()).to_pylist()
    return _mapped(texts, dict(zip(seen, micros, strict=True)), pa.int64()).cast(kind)


def local_times(name: str, times: pa.ChunkedArray, zone: str, how: str | None) -> ColumnReading:
    """Return times in UTC; those without a zone are in ``zone``, whose clocks may show one twice, or never.

    Raises:
        WrongUsage: when there is no such zone.
    """
    if times.type.tz is not None:
        return ColumnReading(times.cast(TIMESTAMP), "time")
    try:
        early, late = (
            pc.assume_timezone(times, zone, ambiguous=way, nonexistent=way).cast(TIMESTAMP)
            for way in ("earliest", "latest")
        )
    except (pa.ArrowInvalid, KeyError) as error:
        raise WrongUsage(f"there is no time zone {zone!r}; write one such as 'UTC' or 'Europe/Berlin'") from error
    rule, told = f"time in {zone}", f"{name} has no time zone: taken as {zone}; --timezone names another"
    unclear = pc.fill_null(pc.not_equal(early, late), False)
    count = pc.sum(unclear).as_py() or 0
    if not count:
        return ColumnReading(early, rule, told)
    example = times.filter(unclear)[0].as_py()
    such = f"such as {example:%Y-%m-%d %H:%M}"
    seen = f"{count:,} of its values, {such}, occur twice or never as the clocks of {zone} change"
    answers = {"earlier": "the moment before the change", "later": "that after it", "missing": "no time"}
    if how not in _LOCAL:
        return ColumnReading(early, rule, told, Question(f"{name}: {seen}. Each is", answers))
    values = {"earlier": early, "later": late, "missing": pc.if_else(unclear, pa.scalar(None, TIMESTAMP), early)}[how]
    return ColumnReading(values, f"{rule}, {answers[how]} where unclear", f"{told}; {seen}: read as {answers[how]}")


def _why_text(name: str, texts: pa.ChunkedArray, seen: Sequence[str]) -> str:
    """Tell why a column that looks like numbers or times stays text."""
    words = [word.strip() for word in seen]
    found = []
    if count := _count(texts, MISSING_WORDS):
        found.append(f"{_words(texts)} ({count:,} values) is kept as a text; --missing {name}=NA if it means missing")
    if not words:
        return found[0] if found else ""
    zeros = next((word for word in words if re.fullmatch(r"-?0[0-9]+(\.[0-9]+)?", word)), None)
    if zeros and all(_DIGITS.fullmatch(word) for word in words):
        found.append(f"leading zeros, such as {zeros}, are kept; --read {name}=integer drops them")
    elif all(_FLOAT.fullmatch(word) for word in words):
        large = max(words, key=len)
        found.append(f"{large} has more digits than a number holds; --read {name}=float rounds it")
    elif any(_ZONED.fullmatch(word) for word in words) and all(re.match(r"\d{4}-\d\d-\d\d[T ]\d", w) for w in words):
        return f"{name} holds times, some with a time zone and some without: write them all alike to use them as times"
    elif (share := sum(bool(_DECORATED.fullmatch(word)) for word in words)) and share > len(words) / 2:
        other = next((word for word in words if not _DECORATED.fullmatch(word)), None)
        beside = f"; {other!r} is none" if other else ", in several ways"
        found.append(f"looks like numbers{beside}; --missing {name}={other or 'WORD'} if it means missing")
    return "; ".join(found)


def missing(texts: pa.ChunkedArray, words: Sequence[str]) -> pa.ChunkedArray:
    """Return texts with nulls for empty ones and for these words."""
    gone = pc.is_in(pc.utf8_trim_whitespace(texts), pa.array(["", *words], pa.string()))
    return pc.if_else(gone, pa.scalar(None, pa.string()), texts)


def by_column(options: Sequence[str], flag: str) -> dict[str, list[str]]:
    """Return the values of options such as ``zip=text`` by column.

    Raises:
        WrongUsage: for an option without ``=``.
    """
    found: dict[str, list[str]] = {}
    for option in options:
        column, equals, value = option.rpartition("=")
        if not (column and equals):
            raise WrongUsage(
                f"{flag} {option!r}: write COLUMN=VALUE, such as {flag} zip={'text' if 'read' in flag else 'NA'}"
            )
        found.setdefault(column, []).append(value)
    return found


def _mapped(texts: pa.ChunkedArray, values: Mapping[str, object], kind: pa.DataType) -> pa.ChunkedArray:
    """Return the value of each text, null for texts that have none."""
    try:
        looked_up = pa.array(list(values.values()), kind)
    except (pa.ArrowInvalid, OverflowError) as error:  # pragma: no cover
        raise UserError(str(error)) from error
    return looked_up.take(pc.index_in(texts, pa.array(list(values), pa.string()))) if values else texts.cast(kind)


def _count(texts: pa.ChunkedArray, words: Sequence[str]) -> int:
    found = pc.is_in(pc.utf8_trim_whitespace(texts), pa.array(words, pa.string()))
    return pc.sum(found).as_py() or 0


def _words(texts: pa.ChunkedArray) -> str:
    there = {word.strip() for word in pc.unique(texts.drop_null()).to_pylist()}
    return " or ".join(word for word in MISSING_WORDS if word in there)
