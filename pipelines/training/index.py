"""Brings MLflow up to date with the model store. It is an index for people: while it is down, training goes on."""

import logging

from pipelines.registry.model_store import CARD, INDEXED, ModelStore
from pipelines.registry.tracking import Tracking

log = logging.getLogger(__name__)


def index(models: ModelStore, tracking: Tracking, anew: bool = False) -> None:
    """Record each version that was not recorded yet, oldest first; stop at the first that fails, until next time.

    ``anew`` asks MLflow about each instead of the store's note that it was recorded, as when MLflow has lost it.
    """
    for version, digest in models.versions().items():
        if not anew and models.attached(digest, INDEXED):
            continue
        manifest = models.manifest(digest)
        files = {name: models.file(digest, name) for name in manifest.files}
        try:
            tracking.record(manifest, digest, version, {**files, CARD: models.attached(digest, CARD).encode()})
        except Exception as error:  # whatever an index does, the model is stored
            log.warning("not indexed version=%d reason=%s", version, error)
            return
        models.attach(digest, INDEXED, b"by MLflow")
