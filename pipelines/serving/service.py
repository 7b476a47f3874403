"""The service behind the app: it follows the release log, routes each row to a variant, scores it and logs it."""

import logging
import time
from typing import Any

from pipelines.feature.decode import JSON, RequestDecoder
from pipelines.feature.online import OnlineFeatures
from pipelines.model_store import ModelStore
from pipelines.ports import OnlineStore
from pipelines.release_log import ReleaseLog
from pipelines.serving.log import LogWriter
from pipelines.serving.metrics import Metrics
from pipelines.serving.mirror import Mirror
from pipelines.serving.model import ServedModel
from pipelines.serving.routing import Release, answer
from pipelines.settings import Settings
from pipelines.spec import Problem, ReleaseEntry, Routing, Variant

log = logging.getLogger(__name__)

_DEFAULTS = Settings()


class NoRelease(Exception):
    """There is nothing to answer with; the text says why."""


class Service:
    """Predicts with what the release log says."""

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
        self.metrics = Metrics()
        self._mirror = Mirror(log_writer)
        self.release: Release | None = None
        statement = problem.statement
        self._key, self._event_time = statement.key, statement.event_time
        self._decode = RequestDecoder(statement.request_columns, settings.max_rows)
        self._features = OnlineFeatures(statement.event_time, problem.request_features, problem.views, online)
        self._loaded: dict[str, ServedModel] = {}
        self._seen = 0
        self._refusal: tuple[int, str] | None = None

    def refresh(self) -> None:
        """Serve the latest release; what cannot be loaded is told, left out, and tried again at the next call.

        Without its challenger a release serves its champion; without its champion the release before goes on.
        """
        try:
            entry = self.releases.latest()
            if entry is None or entry.number == self._seen:
                return
            self._serve(entry)
            self._seen, self._refusal = entry.number, None
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
        """Keep and count why a release is not served in full, once for each reason."""
        if self._refusal != (number, str(error)):
            self._refusal = number, str(error)
            self.metrics.refused_releases.inc()
            log.error("refused release=%d reason=%s", number, error)

    def predict(self, body: bytes, content_type: str = JSON) -> Any:
        """Answer a body of one request, or of several in their order.

        Raises:
            NoRelease: before the first release.
            UserError: when the body is not a valid request.
        """
        release = self.release
        if release is None:
            if self._refusal:
                raise NoRelease(f"Release {self._refusal[0]} cannot be loaded: {self._refusal[1]}")
            raise NoRelease("This environment has no release yet; deploy one with 'mlops deploy'.")
        started = time.perf_counter()
        fields, single = self._decode(body, content_type)
        features = self._features(fields)
        self.metrics.count_missing(features)
        predictions = answer(release, fields, fields[self._key], fields[self._event_time], features)
        self._mirror.log(release, predictions)
        self.metrics.observe(predictions, time.perf_counter() - started)
        rows = [
            {"prediction": float(value), "prediction_id": name, "model_version": version, "variant": variant}
            for value, name, version, variant in zip(
                predictions.prediction, predictions.prediction_id, predictions.version, predictions.variant, strict=True
            )
        ]
        return rows[0] if single else {"predictions": rows}

    @property
    def pending(self) -> int:
        """How many predictions are not in the log yet."""
        return self._mirror.pending + self.log.pending

    def close(self) -> None:
        """Write what is pending and stop."""
        self._mirror.close()
        self.log.close()

    def _load(self, variant: Variant) -> ServedModel:
        if variant.model not in self._loaded:
            self._loaded[variant.model] = ServedModel(variant, self.models, self.problem)
        return self._loaded[variant.model]
