"""Verifies that an environment is whole: its signed log, its models, and the files of its tables."""

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.bootstrap import Platform
from pipelines.config import UserError


def verified(platform: Platform) -> dict[str, int]:
    """Return how many transitions, models and tables there are, after reading each model and the footer of each file.

    Raises:
        UserError: when one is missing or was changed: a transition's signature, a model's digest, a table's file.
    """
    transitions = len([*platform.releases.entries()])
    models = platform.models.versions()
    for digest in models.values():
        for name in platform.models.manifest(digest).files:
            platform.models.file(digest, name)
    tables = [name for space in ("raw", "features", "quarantine") for name in platform.tables.names(space)]
    for name in tables:
        for address in platform.tables.files(name):
            try:
                pq.read_metadata(address)
            except (OSError, pa.ArrowInvalid) as error:
                raise UserError(f"a file of table {name!r} cannot be read: {error}") from error
    return {"transitions": transitions, "models": len(models), "tables": len(tables)}
