"""Where models are released to that are bytes alone: what of them could be served is stated, not tried."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from pipelines.config import Manifest, Variant
from pipelines.deployment.target import ReleaseTarget
from pipelines.registry.model_store import ModelStore
from pipelines.registry.release_log import ReleaseLog


class Stated(NamedTuple):
    """Why each model that cannot be served cannot, and each whose features are stale, by digest."""

    broken: Mapping[str, str]
    old: Mapping[str, str]

    def unservable(self, variant: Variant) -> str:
        return self.broken.get(variant.model, "")

    def stale(self, manifest: Manifest, at: datetime) -> Iterator[str]:
        if manifest.sha256() in self.old:
            yield self.old[manifest.sha256()]


def target(
    log: ReleaseLog,
    models: ModelStore,
    before: ReleaseLog | None = None,
    broken: Mapping[str, str] | None = None,
    old: Mapping[str, str] | None = None,
) -> ReleaseTarget:
    """Return the target of a log whose models can all be served but for those that are stated."""
    return ReleaseTarget(log, models, Stated(broken or {}, old or {}), lambda: before)


class MemoryObjects:
    """An object store in memory, for tests that make many."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def read(self, key: str) -> bytes | None:
        return self._objects.get(key)

    def write(self, key: str, data: bytes) -> None:
        self._objects[key] = data

    def create(self, key: str, data: bytes) -> bool:
        return self._objects.setdefault(key, data) is data

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self._objects if key.startswith(prefix))

    def first(self, prefix: str, limit: int, after: str = "") -> list[str]:
        return [key for key in self.keys(prefix) if key > after and "/" not in key.removeprefix(prefix)][:limit]

    def folders(self, prefix: str) -> list[str]:
        rests = (key.removeprefix(prefix) for key in self.keys(prefix))
        return sorted({rest.split("/")[0] for rest in rests if "/" in rest})
