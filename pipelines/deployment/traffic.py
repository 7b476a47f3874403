"""The traffic of a live release, as the predictions of the champion and of the challenger."""

from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import Problem, ReleaseState, Routing
from pipelines.feature.labels import labelled_predictions
from pipelines.storage.prediction_log import LogReader
from pipelines.storage.tables import Tables


class Side(NamedTuple):
    """The requests to one variant, as arrays of shape [rows].

    ``prediction`` is NaN where the request failed, ``label`` is NaN while unknown. ``unit`` numbers the value by which
    a request was routed; requests of one unit are not independent.
    """

    prediction: npt.NDArray[np.float64]
    latency_ms: npt.NDArray[np.float64]
    failed: npt.NDArray[np.bool_]
    label: npt.NDArray[np.float64]
    unit: npt.NDArray[np.integer]

    def answered(self) -> "Side":
        """Return the answered requests."""
        return self._only(~self.failed)

    def labelled(self) -> "Side":
        """Return the answered requests whose label is known."""
        return self._only(~self.failed & ~np.isnan(self.label))

    def _only(self, rows: npt.NDArray[np.bool_]) -> "Side":
        return Side(self.prediction[rows], self.latency_ms[rows], self.failed[rows], self.label[rows], self.unit[rows])

    @property
    def rows(self) -> int:
        """The number of requests."""
        return len(self.prediction)


class Traffic(NamedTuple):
    """Both variants on the same traffic: split between them, or mirrored."""

    champion_side: Side
    challenger_side: Side


def live_traffic(
    problem: Problem,
    tables: Tables,
    predictions: LogReader,
    state: ReleaseState,
    transitions: set[int],
    since: datetime,
    as_of: datetime,
) -> Traffic | None:
    """Return the requests to both variants under these transitions since a time, or None when there are none."""
    rows = labelled_predictions(problem, tables, predictions, since, as_of)
    if rows is None:
        return None
    # Filter by transition as well as by time: instances follow a transition one poll after it was made.
    rows = rows.filter(pc.is_in(rows["release"], pa.array(sorted(transitions), pa.int32())))
    return split(rows, state.routing)


def split(rows: pa.Table, routing: Routing) -> Traffic:
    """Split labelled predictions of one routing into the two variants."""
    if not routing.mirror:
        return Traffic(*(_asked(rows.filter(pc.equal(rows["routed"], name))) for name in ("champion", "challenger")))
    answered, beside = _asked(rows), _beside(rows.filter(pc.is_valid(rows["mirror_latency_ms"])))
    return Traffic(beside, answered) if routing.share else Traffic(answered, beside)


def _asked(rows: pa.Table) -> Side:
    return _side(rows, "")


def _beside(rows: pa.Table) -> Side:
    return _side(rows, "mirror_")


def _side(rows: pa.Table, prefix: str) -> Side:
    failed = pc.is_valid(rows[f"{prefix}error"]).to_numpy()
    prediction = rows[f"{prefix}prediction"].to_numpy().astype(np.float64)
    return Side(
        prediction=np.where(failed, np.nan, prediction),
        latency_ms=rows[f"{prefix}latency_ms"].to_numpy(),
        failed=failed,
        label=rows["label"].to_numpy().astype(np.float64),
        unit=rows["unit"].combine_chunks().dictionary_encode().indices.to_numpy(),
    )
