"""Offline features, for training and batch inference: the point-in-time join over the feature tables."""

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import FeatureView, Problem, UserError
from pipelines.feature import point_in_time
from pipelines.feature.entity import with_text
from pipelines.feature.missing import column_with_default
from pipelines.feature.request import from_table, request_features
from pipelines.storage.tables import TIMESTAMP, Tables

Lookup = Callable[[Problem, Mapping[str, int], pa.Table], pa.Table]
"""Joins the views' features to requests where the tables are stored."""


def with_features(
    problem: Problem,
    tables: Tables,
    snapshots: Mapping[str, int],
    requests: pa.Table,
    lookup: Lookup | None = None,
    *,
    known_now: bool = False,
) -> pa.Table:
    """Return requests as a frame: their key, event time, label if they have one, and their offline features.

    ``snapshots`` maps ``features.<view>`` to the snapshot to read; other views are read at their current snapshot.
    Without a ``lookup`` DuckDB joins them in this process. Each request sees what was known when it was made; with
    ``known_now``, or where the ``corrections`` of a view's table are "corrected", what is known of that time now.
    """
    config = problem.config
    asked = requests[config.event_time].cast(TIMESTAMP)
    if lookup and requests.num_rows:
        looked_up = lookup(problem, snapshots, requests)
    else:
        views = [
            (view, _visible(view, tables, snapshots, asked, known_now or reads_corrected(problem, view)))
            for view in problem.views
        ]
        entities = {column for view in problem.views for column in view.entity}
        looked_up = point_in_time.join(with_text(requests, entities), config.event_time, views)
    computed = request_features(problem.request_features, from_table(requests, config.request_columns))
    frame = {"key": requests[config.key], "event_time": asked}
    frame |= {name: requests[name] for name in ("known_at", "label") if name in requests.column_names}
    frame |= {name: pa.array(computed[name]) if name in computed else looked_up[name] for name in problem.features}
    for name, default in config.serving.defaults.items():
        frame[name] = column_with_default(frame[name], default)
    return pa.table(frame)


def reads_corrected(problem: Problem, view: FeatureView) -> bool:
    """Say whether training reads a view's corrected values, as nobody had them then."""
    return problem.config.tables[view.raw_tables[0]].corrections == "corrected"  # the same of all of them


def _visible(
    view: FeatureView, tables: Tables, snapshots: Mapping[str, int], asked: pa.ChunkedArray, known_now: bool
) -> pa.Table:
    """Return the view's rows that a request in this span can see: effective by then, and within the time to live."""
    name = f"features.{view.versioned_name}"
    if tables.snapshot(name) is None:
        raise UserError(
            f"feature view {view.name!r} has no rows ({name}), so there is nothing to join: run 'mlops run feature' "
            f"for days on which the source delivers {' and '.join(view.raw_tables)}, or take the view out of "
            "features.py"
        )
    first, last = pc.min(asked).as_py(), pc.max(asked).as_py()
    span = {"start": first - view.ttl, "end": last - view.delay} if first else {}
    return tables.read(name, time="event_time", snapshot=snapshots.get(name), versions=not known_now, **span)
