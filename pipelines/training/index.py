"""Brings MLflow, the index that people browse, up to date with the model store; training goes on while it is down."""

import logging

from pipelines.registry.model_store import CARD, INDEXED, ModelStore
from pipelines.registry.tracking import Tracking

log = logging.getLogger(__name__)


def index(models: ModelStore, tracking: Tracking, anew: bool = False) -> None:
    """Record each version that is not recorded yet, oldest first; stop at the first failure, until the next call.

    ``anew`` asks MLflow about each version instead of trusting the store's note, for an MLflow that lost its data.
    """
    for version, digest in models.versions().items():
        if not anew and models.attached(digest, INDEXED):
            continue
        manifest = models.manifest(digest)
        files = {name: models.file(digest, name) for name in manifest.files}
        try:
            tracking.record(manifest, digest, version, {**files, CARD: models.attached(digest, CARD).encode()})
        except Exception as error:  # the model is stored, whatever fails in the index
            log.warning("not indexed version=%d reason=%s", version, error)
            return
        models.attach(digest, INDEXED, b"by MLflow")
