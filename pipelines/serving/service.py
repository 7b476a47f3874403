"""The service behind the app: it follows the release log, routes each row to a variant, scores it and logs it."""

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.config import Problem, ReleaseEntry, Routing, UserError, Variant
from pipelines.feature.decode import JSON, RequestDecoder, TooManyRows
from pipelines.feature.request import Columns
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog
from pipelines.serving.instances import Standing
from pipelines.serving.metrics import ServingMetrics
from pipelines.serving.mirror import Mirror
from pipelines.serving.model import Rejected, ServedModel
from pipelines.serving.routing import Part, Release, answer, rows_of
from pipelines.settings import Settings
from pipelines.storage.ports import OnlineStore, Unavailable
from pipelines.storage.prediction_log import LogWriter, Predictions, sampled

log = logging.getLogger(__name__)

_DEFAULTS = Settings()

_REPLAYED_DAYS = 31

Answer = dict[str, Any]
"""One row: prediction, prediction_id, model_version, variant; or ``{"predictions": [rows]}``."""


class NoRelease(Exception):
    """There is no model to answer with; the text says why."""


class PredictionService:
    """Predicts with the models of the release log's latest state."""

    def __init__(
        self,
        problem: Problem,
        online: OnlineStore,
        models: ModelStore,
        releases: ReleaseLog,
        log_writer: LogWriter,
        settings: Settings = _DEFAULTS,
    ) -> None:
        self.problem, self.models, self.releases, self.log = problem, models, releases, log_writer
        self._settings = settings
        self.metrics, self.remote = ServingMetrics(), online.remote
        self._mirror = Mirror(log_writer)
        self.release: Release | None = None
        config = problem.config
        self._key, self._event_time = config.key, config.event_time
        self._decode = RequestDecoder(config.request_columns, settings.max_rows)
        self._online = online
        self._loaded: dict[str, ServedModel] = {}
        self._seen = 0
        self._refusal: tuple[int, str] | None = None
        self._refreshing, self._refreshed = threading.Lock(), 0.0

    def refresh(self) -> None:
        """Serve the latest release; log a model that cannot be loaded, leave it out, and try again at the next call.

        A release without its challenger serves its champion; without its champion the previous release stays.
        """
        with self._refreshing:
            began = time.time()
            self._refresh()
            self._refreshed = began  # what came since then was not seen

    def refresh_when_due(self) -> None:
        """Refresh when ``poll_seconds`` have passed by the wall clock, which goes on while a process is frozen."""
        if abs(time.time() - self._refreshed) > self._settings.poll_seconds:
            self.refresh()

    def _refresh(self) -> None:
        try:
            entry = self.releases.latest()
            if entry and entry.number != self._seen:
                self._serve(entry)
                self._seen = entry.number
            self._refusal = None
            self.metrics.release_refused.set(0)
        except Exception as error:  # a poll outlives whatever the store or a model does
            self._refuse(self.releases.known, error)

    def _serve(self, entry: ReleaseEntry) -> None:
        state, challenger, failure = entry.state, None, None
        if state.champion is None:
            return
        champion = self._load(state.champion)
        if state.challenger:
            try:
                challenger = self._load(state.challenger)
            except Exception as error:
                failure = error
        routing = state.routing if challenger else Routing()
        self.release = Release(entry.number, champion, challenger, routing)
        kept = {model.variant.model for model in (champion, challenger) if model}
        self._loaded = {digest: model for digest, model in self._loaded.items() if digest in kept}
        self.metrics.release.set(entry.number)
        if failure:
            raise failure

    def _refuse(self, number: int, error: Exception) -> None:
        """Log and count why a release is not served in full, once for each reason."""
        if self._refusal != (number, str(error)):
            self._refusal = number, str(error)
            self.metrics.release_refused.set(1)
            self.metrics.refused_releases.inc()
            log.error("refused release=%d reason=%s", number, error)

    @property
    def standing(self) -> Standing:
        """What is served, and why not more than that."""
        release, (number, error) = self.release, self._refusal or (self._seen, "")
        challenger = release.served_challenger if release else None
        return Standing(
            transition=number,
            serves=release.number if release else None,
            champion=release.served_champion.variant if release else None,
            challenger=challenger.variant if challenger else None,
            error=error,
        )

    def unservable(self, variant: Variant) -> str:
        """Return why this process cannot serve a model; empty when it can.

        The model is loaded as to be served, and freed again.

        Raises:
            Unavailable, OSError: when a store does not answer.
        """
        if variant.model not in self._loaded:
            try:
                ServedModel(variant, self.models, self.problem, self._online)
            except (Unavailable, OSError):
                raise
            except Exception as error:  # as of a release
                return str(error)
        return ""

    @property
    def unready(self) -> str:
        """Why no request can be answered; empty when they can, and in an environment to which nothing was released.

        What is wrong with a later release is no reason while an earlier one is served.
        """
        if self.release or (self._settings.ready_without_release and not self._refusal):
            return ""
        return str(self._no_release())

    def predict(self, body: bytes, content_type: str = JSON, explained: bool = False) -> Answer:
        """Answer a body of one request, or of several in their order, with explanations on request.

        Raises:
            NoRelease: before the first release.
            UserError: when the body is not a valid request.
            Rejected: when a feature view has no value and its policy is to reject, or the answer is not a number.
            Unavailable: when the online store cannot be read.
        """
        release = self._current()
        rows, single = self._decode.rows(body, content_type)
        if explained and len(rows) > self._settings.max_explained_rows:
            limit = self._settings.max_explained_rows
            raise TooManyRows(f"{limit} rows may be explained in one request; send more in several, or without explain")
        parts = self._predictions(release, rows, bodies=1)
        answers = _answers(parts)
        if explained:
            for part in parts:
                self._explain(release, part, answers)
        return answers[0] if single else {"predictions": answers}

    def predict_together(self, bodies: Sequence[tuple[bytes, str]]) -> list[Answer | Exception]:
        """Return what :meth:`predict` returns or raises for each of several bodies, each with its content type.

        Answers them in one pass, which costs little more than one body. Answers one by one where the pass fails, so
        that each gets its own error, and where a challenger takes traffic, so that the latencies are comparable.
        """
        if len(bodies) > 1 and self.release is not None and self.release.served_challenger is None:
            with contextlib.suppress(Exception):
                return self._in_one_pass(self.release, bodies)
        return [self._alone(body, content_type) for body, content_type in bodies]

    def _alone(self, body: bytes, content_type: str) -> Answer | Exception:
        try:
            return self.predict(body, content_type)
        except Exception as error:
            return error

    def _in_one_pass(self, release: Release, bodies: Sequence[tuple[bytes, str]]) -> list[Answer | Exception]:
        decoded = [self._decode.rows(body, content_type) for body, content_type in bodies]
        answers = iter(_answers(self._predictions(release, [row for rows, _ in decoded for row in rows], len(bodies))))
        return [
            next(answers) if single else {"predictions": list(islice(answers, len(rows)))} for rows, single in decoded
        ]

    def _current(self) -> Release:
        if self.release:
            return self.release
        raise self._no_release()

    def _no_release(self) -> NoRelease:
        if self._refusal:
            return NoRelease(f"Release {self._refusal[0]} cannot be loaded: {self._refusal[1]}")
        return NoRelease("This environment has no release yet; deploy one with 'mlops deploy'.")

    def _predictions(self, release: Release, rows: list[Any], bodies: int) -> list[Part]:
        """Look up features, score, log and count; what several bodies meet is counted when one meets it alone."""
        started = time.perf_counter()
        fields = self._decode.columns(rows)

        def look_up(model: ServedModel, asked: Columns, numbers: Sequence[int]) -> Columns:
            features, absent, missing = model.find(asked)
            rejection = model.rejection(absent, numbers)
            if bodies == 1 or rejection is None:
                self.metrics.count_missing(missing, absent)
            if rejection:
                raise rejection
            return features

        try:
            event_time = fields[self._event_time]
            parts = answer(release, fields, fields[self._key], event_time, self._answered_at(event_time), look_up)
        except ValueError as error:
            raise Rejected(f"{error}; a value in the request may be far from any that the model has seen") from error
        everything = release.served_challenger is not None  # canary analysis compares all answers of the variants
        for part in parts:
            logged = part.predictions if everything else sampled(part.predictions, self._settings.log_sample)
            self._mirror.log(release, logged, fields if len(parts) == 1 else rows_of(fields, part.rows))
        self.metrics.observe([part.predictions for part in parts], time.perf_counter() - started, bodies)
        return parts

    def _answered_at(self, event_time: Any) -> Any:
        """Return the time of this answer for each row; in a replay of the past, that of its request."""
        if self._settings.clock == "requests":
            _refuse_many_days(event_time)
            return event_time
        return np.full(len(event_time), np.datetime64(time.time_ns() // 1000, "us"))

    @property
    def pending(self) -> int:
        """How many predictions are not in the log yet."""
        return self._mirror.pending + self.log.pending

    def close(self) -> int:
        """Write the pending predictions and stop; return how many could not be written."""
        self._mirror.close()
        return self.log.close()

    def _explain(self, release: Release, part: Part, answers: list[dict[str, Any]]) -> None:
        """Add to each answer why the variant that gave it did so; one batch for each variant."""
        for model in filter(None, (release.served_champion, release.served_challenger)):
            rows = [row for row, digest in enumerate(part.predictions.model) if digest == model.variant.model]
            if not rows:
                continue
            found = model.explain(rows_of(part.predictions.features, rows))
            for number, row in enumerate(rows):
                answers[part.rows[row]]["explanation"] = found.of(number)

    def _load(self, variant: Variant) -> ServedModel:
        if variant.model not in self._loaded:
            self._loaded[variant.model] = ServedModel(variant, self.models, self.problem, self._online)
        return self._loaded[variant.model]


def _refuse_many_days(times: npt.NDArray[np.datetime64]) -> None:
    """Raise a UserError for a body of many days, each of which would be a file of the log."""
    days = (times.max() - times.min()) // np.timedelta64(1, "D")
    if days > _REPLAYED_DAYS:
        told = f"the requests of one body are {days:,} days apart; a replay takes those of {_REPLAYED_DAYS} days in one"
        raise UserError(f"{told}: send more bodies, or leave RATCHET_CLOCK at 'server'")


def _answers(parts: list[Part]) -> list[Answer]:
    """Return the answers to a body's rows in their order."""
    if len(parts) == 1:
        return _of(parts[0].predictions)
    numbered = {row: one for part in parts for row, one in zip(part.rows, _of(part.predictions), strict=True)}
    return [numbered[row] for row in sorted(numbered)]


def _of(predictions: Predictions) -> list[Answer]:
    return [
        {"prediction": value, "prediction_id": name, "model_version": version, "variant": variant}
        for value, name, version, variant in zip(
            predictions.prediction.tolist(),
            predictions.prediction_id,
            predictions.version,
            predictions.variant,
            strict=True,
        )
    ]
