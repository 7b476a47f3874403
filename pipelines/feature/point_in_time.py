"""The point-in-time join: each request with the feature values that were known when it was made, and no later ones."""

from collections.abc import Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import FeatureView
from pipelines.feature.window import later, latest_changed
from pipelines.storage.sql import session
from pipelines.storage.tables import KNOWN_FROM, KNOWN_UNTIL


def join(requests: pa.Table, event_time: str, views: Sequence[tuple[FeatureView, pa.Table]]) -> pa.Table:
    """Return the views' features for each request, in the requests' order and number.

    Of each view's rows for the entity that are effective at or before the request's ``event_time``, and known at it,
    the one with the latest event time counts, unless it is older than the view's time to live. A request without such
    a row gets nulls. ``views`` pairs each view with its rows as :func:`pipelines.feature.engineer.compute_versions`
    returns them, or without the columns of versions, for rows that were known since they happened.
    """
    if not views:
        return requests.select([])
    with session(given=requests) as connection:
        entities = {f'"{column}"' for view, _ in views for column in view.entity}
        selected = ", ".join([f'"{event_time}" AS asked', *sorted(entities - {f'"{event_time}"'})])
        connection.execute(f"CREATE TEMP TABLE requests AS SELECT row_number() OVER () AS key, {selected} FROM given")
        features, joins = [], []
        for number, (view, rows) in enumerate(views):
            always, changed = _split(rows)
            connection.register(f"rows_{number}", always)
            connection.execute(f"CREATE TEMP TABLE view_{number} AS {_last_effective(view, f'rows_{number}')}")
            same = " AND ".join(f'requests."{column}" = view_{number}."{column}"' for column in view.entity)
            joins.append(f"ASOF LEFT JOIN view_{number} ON {same} AND asked >= view_{number}.effective_time")
            if not changed.num_rows:
                alive = f"asked <= view_{number}.event_time + INTERVAL {int(view.ttl.total_seconds())} SECOND"
                features += [f'CASE WHEN {alive} THEN view_{number}."{name}" END AS "{name}"' for name in view.features]
                continue
            connection.register(f"versions_{number}", changed)
            connection.execute(f"CREATE TEMP TABLE changed_{number} AS {latest_changed(view, f'versions_{number}')}")
            joins.append(f"LEFT JOIN changed_{number} ON requests.key = changed_{number}.key")
            chosen = partial(later, view, f"view_{number}", f"changed_{number}")
            features += [f'{chosen(name)} AS "{name}"' for name in view.features]
        query = f"SELECT {', '.join(features)} FROM requests {' '.join(joins)} ORDER BY requests.key"
        return connection.sql(query).to_arrow_table()


def _split(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows that were known since they happened, and the versions of the others."""
    if KNOWN_FROM not in rows.column_names:
        return rows, rows.slice(0, 0)
    always = pc.field(KNOWN_FROM).is_null() & pc.field(KNOWN_UNTIL).is_null()
    return rows.filter(always), rows.filter(~always)


def latest(view: FeatureView, rows: pa.Table) -> pa.Table:
    """Return the row with the latest event time of each entity."""
    with session(rows=rows) as connection:
        entity = ", ".join(f'"{column}"' for column in view.entity)
        query = f"SELECT DISTINCT ON ({entity}) * FROM rows ORDER BY {entity}, event_time DESC"
        return connection.sql(query).to_arrow_table()


def last_effective(view: FeatureView, rows: pa.Table) -> pa.Table:
    """Return the last of each entity's rows with the same effective time; no other is ever served."""
    with session(rows=rows) as connection:
        return connection.sql(_last_effective(view, "rows")).to_arrow_table()


def _last_effective(view: FeatureView, rows: str) -> str:
    entity = ", ".join(f'"{column}"' for column in view.entity)
    order = f"PARTITION BY {entity}, effective_time ORDER BY event_time DESC"
    return f"SELECT * FROM {rows} QUALIFY row_number() OVER ({order}) = 1"
