"""Routing: sends each row to a variant of the release, and to the champion when the challenger fails."""

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipelines.config import Routing
from pipelines.feature.request import Columns
from pipelines.serving.model import ServedModel
from pipelines.storage.prediction_log import Predictions


class Release(NamedTuple):
    """The release that is served; replaced as a whole, so that one request never sees two releases."""

    number: int
    champion: ServedModel
    challenger: ServedModel | None
    routing: Routing

    @property
    def mirrored(self) -> ServedModel | None:
        """The variant that is asked beside the one that answers, if any."""
        if not self.routing.mirror:
            return None
        return self.champion if self.routing.share else self.challenger


def answer(
    release: Release, fields: Columns, keys: Any, event_time: Any, answered_at: Any, features: Columns
) -> Predictions:
    """Return the answers to the rows of one request body.

    Raises:
        Exception: whatever the champion fails with; where the challenger fails, the champion answers.
    """
    sticky_by = release.routing.sticky_by
    units = keys if sticky_by is None else [str(value) for value in fields[sticky_by]]
    answers = _Answers(release, units, features)
    answers.score()
    none: list[Any] = [None] * len(keys)
    return Predictions(
        prediction_id=_random_ids(len(keys)),
        event_time=event_time,
        answered_at=answered_at,
        key=keys,
        unit=units,
        release=[release.number] * len(keys),
        routed=answers.routed,
        variant=["champion" if model is release.champion else "challenger" for model in answers.model],
        model=[model.variant.model for model in answers.model],
        version=[model.variant.version for model in answers.model],
        prediction=answers.prediction,
        latency_ms=answers.latency_ms,
        error=answers.error,
        features=features,
        mirror_prediction=none,
        mirror_latency_ms=none,
        mirror_error=none,
    )


def to_challenger(unit: str, version: int, share: float) -> bool:
    """Return whether a unit goes to the challenger of this version: ``share`` of all units do, each always or never.

    A unit that went there at a smaller share still does at a larger one. The hash is cryptographic, because with a
    linear checksum every challenger would get nearly the same units.
    """
    digest = hashlib.blake2b(f"v{version} {unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def apply(model: ServedModel, features: Columns) -> tuple[np.ndarray[Any, np.dtype[np.float32]], float]:
    """Return a model's predictions and how long they took in ms.

    Raises:
        ValueError: when one of them is not a number.
    """
    started = time.perf_counter()
    scored = model.score(features)
    if not np.isfinite(scored).all():
        raise ValueError("the model predicted a value that is not a number")
    return scored, (time.perf_counter() - started) * 1000


def rows_of(features: Columns, rows: Sequence[int]) -> Columns:
    """Return some rows of feature columns."""
    return {name: values[rows] for name, values in features.items()}


def _random_ids(count: int) -> list[str | None]:
    """Return 128 random bits each, in hexadecimal."""
    digits = os.urandom(16 * count).hex()
    return [digits[start : start + 32] for start in range(0, len(digits), 32)]


class _Answers:
    """The scores of the rows of one request body, as they are computed."""

    def __init__(self, release: Release, units: Iterable[str], features: Columns) -> None:
        self.release, self.features, self.units = release, features, list(units)
        rows = len(self.units)
        self.prediction = np.empty(rows, dtype=np.float32)
        self.latency_ms = [0.0] * rows
        self.error: list[str | None] = [None] * rows
        self.model = [release.champion] * rows
        self.routed: list[str | None] = ["champion"] * rows

    def score(self) -> None:
        """Score each row by the variant it is routed to, or by the champion when that fails."""
        challenger, chosen = self.release.challenger, self._challenged()
        if not chosen:
            self.prediction, elapsed = apply(self.release.champion, self.features)
            self.latency_ms = [elapsed] * len(self.units)
            return
        failed = self._challenge(challenger, chosen) if challenger else []
        answered = set(chosen) - set(failed)
        self._apply(self.release.champion, [row for row in range(len(self.units)) if row not in answered])

    def _challenged(self) -> list[int]:
        challenger, share = self.release.challenger, self.release.routing.share
        if challenger is None or not share:
            return []
        version = challenger.variant.version
        return [row for row, unit in enumerate(self.units) if to_challenger(unit, version, share)]

    def _challenge(self, challenger: ServedModel, rows: list[int]) -> list[int]:
        """Score rows with the challenger, together if that works and else one by one; return those that failed."""
        for row in rows:
            self.routed[row] = "challenger"
        try:
            self._apply(challenger, rows)
            return []
        except Exception:  # a model under trial may fail in any way
            return [row for row in rows if not self._challenge_alone(challenger, row)]

    def _challenge_alone(self, challenger: ServedModel, row: int) -> bool:
        try:
            self._apply(challenger, [row])
            return True
        except Exception as error:
            self.error[row] = str(error)[:500]
            self.model[row] = self.release.champion
            return False

    def _apply(self, model: ServedModel, rows: list[int]) -> None:
        if not rows:
            return
        features = self.features if len(rows) == len(self.units) else rows_of(self.features, rows)
        self.prediction[rows], elapsed = apply(model, features)
        for row in rows:
            self.model[row], self.latency_ms[row] = model, elapsed
