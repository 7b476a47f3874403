"""The point-in-time join as portable SQL, for an engine that reads the tables where they are, such as Athena.

The same join as :mod:`pipelines.feature.point_in_time`, without DuckDB's ASOF join: requests and view rows are sorted
together, and the running maximum of the effective times says which row a request sees. The work so grows with the
rows, not with their pairs.
"""

from collections.abc import Sequence

from pipelines.config import FeatureView


def window_join(requests: str, key: str, event_time: str, views: Sequence[tuple[FeatureView, str]]) -> str:
    """Return the query for the key of each request and its features.

    ``requests`` and the texts beside the views are tables or parenthesised queries. The key is unique among the
    requests; a view's table has the columns that :func:`pipelines.feature.engineer.compute` returns.
    """
    parts, features, joins = [], [], []
    entities = dict.fromkeys(column for view, _ in views for column in view.entity)
    asked = [f'"{key}" AS key', f'"{event_time}" AS asked', *(f'"{column}"' for column in entities)]
    parts.append(f"requests AS (SELECT {', '.join(asked)} FROM {requests})")
    for number, (view, table) in enumerate(views):
        rows, seen = f"rows_{number}", f"seen_{number}"
        parts += [f"{rows} AS ({_last_effective(view, table)})", f"{seen} AS ({_seen(view, rows)})"]
        same = " AND ".join(f'requests."{column}" = {rows}."{column}"' for column in view.entity)
        joins.append(f"LEFT JOIN {seen} ON requests.key = {seen}.key")
        joins.append(f"LEFT JOIN {rows} ON {same} AND {rows}.effective_time = {seen}.effective_time")
        alive = f"asked <= {rows}.event_time + INTERVAL '{int(view.ttl.total_seconds())}' SECOND"
        features += [f'CASE WHEN {alive} THEN {rows}."{name}" END AS "{name}"' for name in view.features]
    return f"WITH {', '.join(parts)} SELECT {', '.join(['requests.key', *features])} FROM requests {' '.join(joins)}"


def _last_effective(view: FeatureView, table: str) -> str:
    """Return the last of each entity's rows with the same effective time; no other is ever served."""
    columns = ", ".join([*_entity(view), "event_time", "effective_time", *(f'"{name}"' for name in view.features)])
    order = f"PARTITION BY {', '.join(_entity(view))}, effective_time ORDER BY event_time DESC"
    ranked = f"SELECT {columns}, row_number() OVER ({order}) AS place FROM {table}"
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


def _entity(view: FeatureView) -> list[str]:
    return [f'"{column}"' for column in view.entity]
