"""The point-in-time join as portable SQL, for an engine that reads the tables where they are, such as Athena.

The same join as :mod:`pipelines.feature.point_in_time`, without DuckDB's ASOF join: requests and view rows are sorted
together, and the running maximum of the effective times says which row a request sees. The work so grows with the
rows, not with their pairs. Rows whose knowledge has a beginning or an end (:mod:`pipelines.feature.knowledge`) are
joined beside them, to the requests within their time to live.
"""

from collections.abc import Sequence

from pipelines.config import FeatureView
from pipelines.storage.tables import KNOWN_FROM, KNOWN_UNTIL

_ALWAYS = f"{KNOWN_FROM} IS NULL AND {KNOWN_UNTIL} IS NULL"


def window_join(requests: str, key: str, event_time: str, views: Sequence[tuple[FeatureView, str]]) -> str:
    """Return the query for the key of each request and its features.

    ``requests`` and the texts beside the views are tables or parenthesised queries. The key is unique among the
    requests; a view's table has the columns that :func:`pipelines.feature.engineer.compute_versions` returns.
    """
    parts, features, joins = [], [], []
    entities = dict.fromkeys(column for view, _ in views for column in view.entity)
    asked = [f'"{key}" AS key', f'"{event_time}" AS asked', *(f'"{column}"' for column in entities)]
    parts.append(f"requests AS (SELECT {', '.join(asked)} FROM {requests})")
    for number, (view, table) in enumerate(views):
        rows, seen = f"rows_{number}", f"seen_{number}"
        parts += [f"{rows} AS ({_last_effective(view, table)})", f"{seen} AS ({_seen(view, rows)})"]
        parts.append(f"changed_{number} AS ({latest_changed(view, table)})")
        same = " AND ".join(f'requests."{column}" = {rows}."{column}"' for column in view.entity)
        joins.append(f"LEFT JOIN {seen} ON requests.key = {seen}.key")
        joins.append(f"LEFT JOIN {rows} ON {same} AND {rows}.effective_time = {seen}.effective_time")
        joins.append(f"LEFT JOIN changed_{number} ON requests.key = changed_{number}.key")
        features += [f'{later(view, rows, f"changed_{number}", name)} AS "{name}"' for name in view.features]
    return f"WITH {', '.join(parts)} SELECT {', '.join(['requests.key', *features])} FROM requests {' '.join(joins)}"


def corrected_rows(view: FeatureView, table: str) -> str:
    """Return the rows of a view that are known now, as if they had been since they happened."""
    columns = ", ".join([*_entity(view), "event_time", "effective_time", *(f'"{name}"' for name in view.features)])
    never = "CAST(NULL AS TIMESTAMP WITH TIME ZONE)"
    system = f"{never} AS {KNOWN_FROM}, {never} AS {KNOWN_UNTIL}"
    return f"(SELECT {columns}, {system} FROM {table} t WHERE {KNOWN_UNTIL} IS NULL)"


def _last_effective(view: FeatureView, table: str) -> str:
    """Return the last of each entity's rows with the same effective time; no other is ever served."""
    columns = ", ".join([*_entity(view), "event_time", "effective_time", *(f'"{name}"' for name in view.features)])
    order = f"PARTITION BY {', '.join(_entity(view))}, effective_time ORDER BY event_time DESC"
    ranked = f"SELECT {columns}, row_number() OVER ({order}) AS place FROM {table} t WHERE {_ALWAYS}"
    return f"SELECT {columns} FROM ({ranked}) ranked WHERE place = 1"


def _seen(view: FeatureView, rows: str) -> str:
    """Return the effective time of the row that each request sees: the latest that is not after it."""
    entity = ", ".join(_entity(view))
    effective = f"SELECT {entity}, effective_time AS moment, 0 AS is_request, effective_time, NULL AS key FROM {rows}"
    asked = f"SELECT {entity}, asked AS moment, 1 AS is_request, NULL AS effective_time, key FROM requests"
    moments = f"{effective} UNION ALL {asked}"
    order = f"PARTITION BY {entity} ORDER BY moment, is_request ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    running = f"SELECT key, is_request, max(effective_time) OVER ({order}) AS effective_time FROM ({moments}) moments"
    return f"SELECT key, effective_time FROM ({running}) running WHERE is_request = 1"


def later(view: FeatureView, rows: str, changed: str, name: str) -> str:
    """Return a feature of the later of two rows: one that was always known, unless it expired, or a changed one."""
    alive = f"asked <= {rows}.event_time + {_ttl(view)}"
    first = f"{changed}.event_time > coalesce({rows}.event_time, {_EPOCH})"
    return f'CASE WHEN {first} THEN {changed}."{name}" WHEN {alive} THEN {rows}."{name}" END'


def latest_changed(view: FeatureView, table: str) -> str:
    """Return, by request, the latest row it sees of those whose knowledge has a beginning or an end.

    Requests and rows meet in spans of the view's time to live, of which a row can be seen in two.
    """
    columns = ", ".join([*_entity(view), "event_time", "effective_time", KNOWN_FROM, KNOWN_UNTIL])
    columns = ", ".join([columns, *(f'"{name}"' for name in view.features)])
    steps = f"(SELECT 0 AS step UNION ALL SELECT {max(1, _seconds(view))}) steps"
    rows = f"SELECT {columns}, {_span(view, 'event_time')} + step AS span FROM {table} t CROSS JOIN {steps}"
    rows += f" WHERE NOT ({_ALWAYS})"
    conditions = [f"requests.{column} = changed.{column}" for column in _entity(view)]
    conditions += [
        f"{_span(view, 'asked')} = changed.span",
        "asked >= changed.effective_time",
        f"(changed.{KNOWN_FROM} IS NULL OR asked >= changed.{KNOWN_FROM})",
        f"(changed.{KNOWN_UNTIL} IS NULL OR asked < changed.{KNOWN_UNTIL})",
        f"asked <= changed.event_time + {_ttl(view)}",
    ]
    features = ", ".join(f'changed."{name}"' for name in view.features)
    order = "row_number() OVER (PARTITION BY requests.key ORDER BY changed.event_time DESC) AS place"
    joined = f"SELECT requests.key, changed.event_time, {features}, {order} FROM requests JOIN ({rows}) changed"
    joined += f" ON {' AND '.join(conditions)}"
    names = ", ".join(["key", "event_time", *(f'"{name}"' for name in view.features)])
    return f"SELECT {names} FROM ({joined}) ranked WHERE place = 1"


_EPOCH = "CAST('1970-01-01 00:00:00 UTC' AS TIMESTAMP WITH TIME ZONE)"


def _span(view: FeatureView, time: str) -> str:
    seconds = f"date_diff('second', {_EPOCH}, {time})"
    return f"{seconds} - mod({seconds}, {max(1, _seconds(view))})"


def _ttl(view: FeatureView) -> str:
    return f"INTERVAL '{_seconds(view)}' SECOND"


def _seconds(view: FeatureView) -> int:
    return int(view.ttl.total_seconds())


def _entity(view: FeatureView) -> list[str]:
    return [f'"{column}"' for column in view.entity]
