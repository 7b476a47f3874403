"""Chooses the columns of a request that become features, and says why others do not."""

from typing import NamedTuple

from pipelines.scaffold.answers import InterviewAnswers
from pipelines.scaffold.names import unlike
from pipelines.scaffold.tables import RawTables

_MANY = 100  # categories; of more, each is seen too seldom


class Chosen(NamedTuple):
    """Columns used as they are, the feature of each time column, features of the event time, and unused columns."""

    categories: list[str]
    numbers: list[str]
    times: dict[str, str]
    hour: str
    weekday: str
    not_used: list[str]
    bad_release_feature: str


def chosen(answers: InterviewAnswers, tables: RawTables) -> Chosen:
    """Choose numbers, small sets of categories, and the time until each time column; nothing personal, no free text."""
    categories, numbers, times, not_used = [], [], {}, []
    names = set(tables.request_profiles)
    for name, column in tables.request_profiles.items():
        if name in {tables.key, answers.event_time}:
            continue
        if name in answers.personal:
            not_used.append(f"{name}: personal")
        elif column.type == "timestamp":
            times[name] = unlike(f"hours_to_{name}", names)
        elif column.type != "string":
            numbers.append(name)
        elif column.distinct <= _MANY:
            categories.append(name)
        else:
            not_used.append(f"{name}: text with {column.distinct:,} different values")
    hour, weekday = unlike("hour", names), unlike("weekday", names)
    widest = [name for name in numbers if tables.request_profiles[name].distinct > 10]
    return Chosen(categories, numbers, times, hour, weekday, not_used, (widest or [hour])[0])
