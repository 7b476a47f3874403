"""The service behind the app: it follows the release log, routes each row to a variant, scores it and logs it."""

import hashlib
import logging
import os
import time
from typing import Any, NamedTuple

import numpy as np

from pipelines.feature.decode import JSON, RequestDecoder, TooManyRows
from pipelines.feature.online import Absent, OnlineFeatures
from pipelines.feature.request import Columns
from pipelines.model_store import ModelStore
from pipelines.ports import OnlineStore
from pipelines.release_log import ReleaseLog
from pipelines.serving.log import LogWriter, Predictions, sampled
from pipelines.serving.metrics import Metrics
from pipelines.serving.model import ServedModel
from pipelines.settings import Settings
from pipelines.spec import Problem, ReleaseEntry, UserError, Variant

log = logging.getLogger(__name__)

_DEFAULTS = Settings()


class NoRelease(Exception):
    """There is nothing to answer with; the text says why."""


class Rejected(UserError):
    """A request that is well formed and yet has no answer: a feature view has no value for it, or the model none."""


class Release(NamedTuple):
    """What is served: replaced whole, so that one request never sees two releases."""

    number: int
    champion: ServedModel
    challenger: ServedModel | None
    share: float


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
        self._settings = settings
        self.metrics = Metrics()
        self.release: Release | None = None
        statement = problem.statement
        self._key, self._event_time = statement.key, statement.event_time
        self._decode = RequestDecoder(statement.request_columns, settings.max_rows)
        self._features = OnlineFeatures(problem, online)
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
        self.release = Release(entry.number, champion, challenger, state.share)
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

    def predict(self, body: bytes, content_type: str = JSON, explained: bool = False) -> Any:
        """Answer a body of one request, or of several in their order, with an explanation of each where one is asked.

        Raises:
            NoRelease: before the first release.
            UserError: when the body is not a valid request.
            Rejected: when a feature view has no value and its policy is to reject, or the answer is not a number.
        """
        release = self.release
        if release is None:
            if self._refusal:
                raise NoRelease(f"Release {self._refusal[0]} cannot be loaded: {self._refusal[1]}")
            raise NoRelease("This environment has no release yet; deploy one with 'mlops deploy'.")
        started = time.perf_counter()
        fields, single = self._decode(body, content_type)
        if explained and len(fields[self._key]) > self._settings.max_explained_rows:
            limit = self._settings.max_explained_rows
            raise TooManyRows(f"{limit} rows may be explained in one request; send more in several, or without explain")
        features, absent = self._features(fields)
        self.metrics.count_missing(features, absent)
        self._reject(absent)
        answers = _Answers(release, fields[self._key], features)
        try:
            predictions = answers.predictions(fields[self._event_time])
        except ValueError as error:
            raise Rejected(f"{error}; a value in the request may be far from any that the model has seen") from error
        everything = release.challenger is not None  # a judge compares all that the variants answered
        self.log.append(predictions if everything else sampled(predictions, self._settings.log_sample))
        self.metrics.observe(predictions, time.perf_counter() - started)
        rows = [
            {"prediction": float(value), "prediction_id": name, "model_version": version, "variant": variant}
            for value, name, version, variant in zip(
                predictions.prediction, predictions.prediction_id, predictions.version, predictions.variant, strict=True
            )
        ]
        if explained:
            self._explain(release, predictions, rows)
        return rows[0] if single else {"predictions": rows}

    def _explain(self, release: Release, predictions: Predictions, answers: list[dict[str, Any]]) -> None:
        """Add to each answer why the variant that gave it did so; one batch for each variant."""
        for model in filter(None, (release.champion, release.challenger)):
            rows = [row for row, digest in enumerate(predictions.model) if digest == model.variant.model]
            if not rows:
                continue
            found = model.explain({name: values[rows] for name, values in predictions.features.items()})
            for number, row in enumerate(rows):
                answers[row]["explanation"] = found.of(number)

    def _reject(self, absent: list[Absent]) -> None:
        """Raise where a view's policy is to refuse requests that it has no value for."""
        for view, row, entity, kind in absent:
            if self.problem.statement.serving.rejects(view):
                named = ", ".join(f"{column} {value!r}" for column, value in entity.items())
                why = "unknown to it" if kind == "missing" else "known to it, by values older than its ttl"
                raise Rejected(f"row {row}: the feature view {view!r} has no value: {named} is {why}")

    def _load(self, variant: Variant) -> ServedModel:
        if variant.model not in self._loaded:
            self._loaded[variant.model] = ServedModel(variant, self.models, self.problem)
        return self._loaded[variant.model]


def to_challenger(key: str, version: int, share: float) -> bool:
    """Say whether a request goes to the challenger of this version: ``share`` of all keys do, a key always or never.

    A cryptographic hash, because of a checksum's linear ones every challenger would get nearly the same keys.
    """
    digest = hashlib.blake2b(f"v{version} {key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def _random_ids(count: int) -> list[str | None]:
    """Return 128 random bits each, in hexadecimal."""
    digits = os.urandom(16 * count).hex()
    return [digits[start : start + 32] for start in range(0, len(digits), 32)]


class _Answers:
    """Scores the rows of one request body: each by the variant it is routed to, or by the champion when that fails."""

    def __init__(self, release: Release, keys: Any, features: Columns) -> None:
        self.release, self.keys, self.features = release, keys, features
        rows = len(keys)
        self.prediction = np.empty(rows, dtype=np.float32)
        self.latency_ms = [0.0] * rows
        self.error: list[str | None] = [None] * rows
        self.model = [release.champion] * rows
        self.routed: list[str | None] = ["champion"] * rows

    def predictions(self, event_time: Any) -> Predictions:
        challenger = self.release.challenger
        chosen = self._challenged()
        failed = self._score(challenger, chosen) if challenger else []
        answered = set(chosen) - set(failed)
        self._score_champion([row for row in range(len(self.keys)) if row not in answered])
        return Predictions(
            prediction_id=_random_ids(len(self.keys)),
            event_time=event_time,
            key=self.keys,
            release=[self.release.number] * len(self.keys),
            routed=self.routed,
            variant=["challenger" if model is challenger else "champion" for model in self.model],
            model=[model.variant.model for model in self.model],
            version=[model.variant.version for model in self.model],
            prediction=self.prediction,
            latency_ms=self.latency_ms,
            error=self.error,
            features=self.features,
        )

    def _challenged(self) -> list[int]:
        challenger, share = self.release.challenger, self.release.share
        if challenger is None:
            return []
        version = challenger.variant.version
        return [row for row, key in enumerate(self.keys) if to_challenger(key, version, share)]

    def _score(self, challenger: ServedModel, rows: list[int]) -> list[int]:
        """Score rows with the challenger, together if that works and else one by one; return those that failed."""
        for row in rows:
            self.routed[row] = "challenger"
        try:
            self._apply(challenger, rows)
            return []
        except Exception:  # a model under trial may fail in any way
            return [row for row in rows if not self._score_alone(challenger, row)]

    def _score_alone(self, challenger: ServedModel, row: int) -> bool:
        try:
            self._apply(challenger, [row])
            return True
        except Exception as error:
            self.error[row] = str(error)[:500]
            self.model[row] = self.release.champion
            return False

    def _score_champion(self, rows: list[int]) -> None:
        self._apply(self.release.champion, rows)

    def _apply(self, model: ServedModel, rows: list[int]) -> None:
        if not rows:
            return
        started = time.perf_counter()
        whole = len(rows) == len(self.keys)
        features = self.features if whole else {name: values[rows] for name, values in self.features.items()}
        scored = model.score(features)
        if not np.isfinite(scored).all():
            raise ValueError("the model predicted a value that is not a number")
        self.prediction[rows] = scored
        elapsed = (time.perf_counter() - started) * 1000
        for row in rows:
            self.model[row], self.latency_ms[row] = model, elapsed
