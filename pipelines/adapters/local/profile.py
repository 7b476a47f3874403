"""The embedded profile: every store in files below one folder."""

from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.adapters.local.objects import FileObjects
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.adapters.local.metrics_sink import TextGauges
    from pipelines.adapters.local.online import SqliteOnline
    from pipelines.adapters.local.queue import SqliteQueue
    from pipelines.adapters.local.signer import FileSigner
    from pipelines.registry.tracking import Tracking
    from pipelines.storage.tables import Tables


class LocalProfile:
    """Implements :class:`pipelines.adapters.profile.Profile`; all computation is in this process."""

    shared_tables: None = None
    lookup: None = None
    tuner: None = None
    table_maintenance: None = None
    executions: None = None
    push_metrics: None = None

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home.resolve()

    @cached_property
    def objects(self) -> FileObjects:
        """Files."""
        return FileObjects(self.home / "store")

    @cached_property
    def tables(self) -> "Tables":
        """Iceberg tables in files, their catalog in SQLite."""
        from pipelines.adapters.local.catalog import sqlite_catalog
        from pipelines.storage.tables import Tables

        return Tables(lambda: sqlite_catalog(self.home / "tables"))

    @cached_property
    def online(self) -> "SqliteOnline":
        """SQLite."""
        from pipelines.adapters.local.online import SqliteOnline

        return SqliteOnline(self.home / "online.db")

    @cached_property
    def events(self) -> "SqliteQueue":
        """SQLite."""
        from pipelines.adapters.local.queue import SqliteQueue

        return SqliteQueue(self.home / "events.db")

    @cached_property
    def signer(self) -> "FileSigner":
        """A key file, which stays out of the object store."""
        from pipelines.adapters.local.signer import FileSigner

        return FileSigner(self.home / "keys")

    @cached_property
    def metrics_sink(self) -> "TextGauges":
        """A text file, in Prometheus' format."""
        from pipelines.adapters.local.metrics_sink import TextGauges

        return TextGauges(self.home / "metrics")

    @cached_property
    def tracking(self) -> "Tracking":
        """MLflow on SQLite."""
        from pipelines.adapters.local.mlflow_database import follow_move
        from pipelines.registry.tracking import Tracking

        folder = self.home / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        database, artifacts = folder / "mlflow.db", (folder / "artifacts").as_uri()
        follow_move(database, artifacts)
        return Tracking(f"sqlite:///{database}", artifacts)
