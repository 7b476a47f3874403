"""Routing: sends each row to a variant of the release, and to the champion when the challenger fails."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.config import Routing
from pipelines.feature.request import Columns
from pipelines.serving.model import ServedModel
from pipelines.storage.ports import Unavailable
from pipelines.storage.prediction_log import Predictions, chosen


class Release(NamedTuple):
    """The release that is served; replaced as a whole, so that one request never sees two releases."""

    number: int
    served_champion: ServedModel
    served_challenger: ServedModel | None
    routing: Routing

    @property
    def shares_features(self) -> bool:
        """Whether what is looked up for the champion serves the challenger too."""
        return self.served_challenger is None or self.served_challenger.shares_features(self.served_champion)

    @property
    def mirrored(self) -> ServedModel | None:
        """The variant that is asked beside the one that answers, if any."""
        if not self.routing.mirror:
            return None
        return self.served_champion if self.routing.share else self.served_challenger


class Part(NamedTuple):
    """The answers to some rows of a request body whose features are of the same definitions."""

    rows: Sequence[int]
    predictions: Predictions


LookUp = Callable[[ServedModel, Columns, Sequence[int]], Columns]
"""Returns a model's features of requests, which are these rows of a body; raises Rejected."""


def answer(
    release: Release, fields: Columns, keys: Any, event_time: Any, answered_at: Any, look_up: LookUp
) -> list[Part]:
    """Return the answers to the rows of one request body, each of one part.

    Raises:
        Exception: whatever the champion fails with; where the challenger fails, the champion answers.
    """
    sticky_by = release.routing.sticky_by
    units = keys if sticky_by is None else [str(value) for value in fields[sticky_by]]
    answers = _Answers(release, units, fields, look_up)
    answers.score()
    if len(answers.parts) == 1:
        return [Part(range(len(keys)), answers.predictions(keys, event_time, answered_at, answers.parts[0][1]))]
    whole = answers.predictions(keys, event_time, answered_at, {})
    return [Part(rows, chosen(whole, rows)._replace(features=features)) for rows, features in answers.parts]


def to_challenger(unit: str, version: int, share: float) -> bool:
    """Return whether a unit goes to the challenger of this version: ``share`` of all units do, each always or never.

    A unit that went there at a smaller share still does at a larger one. The hash is cryptographic, because with a
    linear checksum every challenger would get nearly the same units.
    """
    digest = hashlib.blake2b(f"v{version} {unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def apply(model: ServedModel, features: Columns) -> tuple[npt.NDArray[np.float32], float]:
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
    """The scores of the rows of one request body, while they are made, and the features that they were made from."""

    def __init__(self, release: Release, units: Iterable[str], fields: Columns, look_up: LookUp) -> None:
        self.release, self.fields, self.units, self._look_up = release, fields, list(units), look_up
        self._shared: Columns | None = None
        rows = len(self.units)
        self.prediction = np.empty(rows, dtype=np.float32)
        self.latency_ms = [0.0] * rows
        self.error: list[str | None] = [None] * rows
        self.model = [release.served_champion] * rows
        self.routed: list[str | None] = ["champion"] * rows
        self.parts: list[tuple[Sequence[int], Columns]] = []

    def score(self) -> None:
        """Score each row by the variant it is routed to, or by the champion when that fails."""
        champion, challenger = self.release.served_champion, self.release.served_challenger
        chosen = self._challenged()
        if not chosen or self.release.shares_features:
            self._shared = self._look_up(champion, self.fields, range(len(self.units)))
            self.parts.append((range(len(self.units)), self._shared))
        failed = self._challenge(challenger, chosen) if challenger else []
        answered = set(chosen) - set(failed)
        self._apply(champion, [row for row in range(len(self.units)) if row not in answered])

    def predictions(self, keys: Any, event_time: Any, answered_at: Any, features: Columns) -> Predictions:
        """Return the answers to all rows, with these features."""
        none: list[Any] = [None] * len(self.units)
        return Predictions(
            prediction_id=_random_ids(len(self.units)),
            event_time=event_time,
            answered_at=answered_at,
            key=keys,
            unit=self.units,
            release=[self.release.number] * len(self.units),
            routed=self.routed,
            variant=["champion" if model is self.release.served_champion else "challenger" for model in self.model],
            model=[model.variant.model for model in self.model],
            version=[model.variant.version for model in self.model],
            prediction=self.prediction,
            latency_ms=self.latency_ms,
            error=self.error,
            features=features,
            mirror_prediction=none,
            mirror_latency_ms=none,
            mirror_error=none,
        )

    def _challenged(self) -> list[int]:
        challenger, share = self.release.served_challenger, self.release.routing.share
        if challenger is None or not share:
            return []
        version = challenger.variant.version
        return [row for row, unit in enumerate(self.units) if to_challenger(unit, version, share)]

    def _challenge(self, challenger: ServedModel, rows: list[int]) -> list[int]:
        """Score rows with the challenger, together if that works and else one by one; return those that failed.

        Raises:
            Unavailable: when a store does not answer, which is no fault of the challenger.
        """
        for row in rows:
            self.routed[row] = "challenger"
        try:
            self._apply(challenger, rows)
            return []
        except Unavailable:
            raise
        except Exception:  # a model under trial may fail in any way
            return [row for row in rows if not self._challenge_alone(challenger, row)]

    def _challenge_alone(self, challenger: ServedModel, row: int) -> bool:
        try:
            self._apply(challenger, [row])
            return True
        except Exception as error:
            self.error[row] = str(error)[:500]
            self.model[row] = self.release.served_champion
            return False

    def _apply(self, model: ServedModel, rows: list[int]) -> None:
        if not rows:
            return
        whole = len(rows) == len(self.units)
        if self._shared is not None:
            features = self._shared if whole else rows_of(self._shared, rows)
        else:
            features = self._look_up(model, self.fields if whole else rows_of(self.fields, rows), rows)
        self.prediction[rows], elapsed = apply(model, features)
        for row in rows:
            self.model[row], self.latency_ms[row] = model, elapsed
        if self._shared is None:
            self.parts.append((rows, features))
