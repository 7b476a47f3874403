"""Mirroring: after the answer, asks the variant that did not answer, and logs both predictions."""

import queue
import threading

from pipelines.feature.request import Columns
from pipelines.serving.model import ServedModel
from pipelines.serving.routing import Release, apply, rows_of
from pipelines.storage.prediction_log import LogWriter, Predictions

_BACKLOG = 1000  # request bodies that wait to be mirrored; beyond it they are logged without


class Mirror:
    """Passes predictions on to the log; a thread of its own first adds those of the mirrored variant."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log
        self._waiting: queue.Queue[tuple[ServedModel, Predictions, Columns | None] | None] = queue.Queue(_BACKLOG)
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> int:
        """How many request bodies are not in the log yet."""
        return self._waiting.unfinished_tasks

    def log(self, release: Release, predictions: Predictions, fields: Columns) -> None:
        """Log predictions, and what the mirrored variant of the release says about the same rows of request fields."""
        model = release.mirrored
        if model is None:
            self._log.append(predictions)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
            self._thread.start()
        try:
            own = None if release.shares_features else fields
            self._waiting.put_nowait((model, predictions, own))
        except queue.Full:
            self._log.append(predictions)

    def close(self) -> None:
        """Finish the pending bodies, and stop."""
        if self._thread:
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        while True:
            work = self._waiting.get()
            try:
                if work is None:
                    return
                self._log.append(mirrored(*work))
            finally:
                self._waiting.task_done()


def mirrored(model: ServedModel, predictions: Predictions, fields: Columns | None) -> Predictions:
    """Return predictions with what another model says about the same rows: together if that works, else one by one.

    ``fields`` are of the same requests, where the model has features of its own.
    """
    rows = len(predictions.prediction)
    try:
        features = predictions.features if fields is None else model.features(fields, range(rows))
        scored, elapsed = apply(model, features)
        said: list[float | None] = [float(value) for value in scored]
        return _with(predictions, said, [elapsed] * rows, [None] * rows)
    except Exception:  # a model under trial may fail in any way
        alone = [_alone(model, predictions, fields, row) for row in range(rows)]
        return _with(predictions, [one[0] for one in alone], [one[1] for one in alone], [one[2] for one in alone])


def _alone(
    model: ServedModel, predictions: Predictions, fields: Columns | None, row: int
) -> tuple[float | None, float, str | None]:
    try:
        features = rows_of(predictions.features if fields is None else fields, [row])
        scored, elapsed = apply(model, features if fields is None else model.features(features, [row]))
        return float(scored[0]), elapsed, None
    except Exception as error:
        return None, 0.0, str(error)[:500]


def _with(
    predictions: Predictions, said: list[float | None], latency_ms: list[float], errors: list[str | None]
) -> Predictions:
    return predictions._replace(mirror_prediction=said, mirror_latency_ms=latency_ms, mirror_error=errors)
