"""What each profile provides; ``pipelines.bootstrap`` chooses the one that the settings name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pipelines.feature.offline import Lookup
from pipelines.feature.table_maintenance import TableMaintenance
from pipelines.orchestration.executions import Executions
from pipelines.registry.tracking import Tracking
from pipelines.storage.ports import MetricsSink, ObjectStore, OnlineStore, Queue, Signer
from pipelines.storage.tables import Tables
from pipelines.training.tuning import Tuner

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PushMetrics = Callable[["CollectorRegistry"], Callable[[], None]]
"""Starts sending a registry's metrics, and returns the function that stops it."""


class Stores(Protocol):
    """The part of a profile that steps use."""

    @property
    def objects(self) -> ObjectStore:
        """Runs, models, release logs, decisions and reports."""

    @property
    def tables(self) -> Tables:
        """Raw and feature tables."""

    @property
    def online(self) -> OnlineStore:
        """The online feature store."""

    @property
    def events(self) -> Queue:
        """The queue of triggers for continuous training: alarms and people."""

    @property
    def signer(self) -> Signer:
        """The audit key; its private half stays out of the object store."""

    @property
    def metrics_sink(self) -> MetricsSink:
        """Where batch runs publish their metrics, which alarms watch."""

    @property
    def lookup(self) -> Lookup | None:
        """The engine that joins features to requests where the tables are; without one, DuckDB joins here."""

    @property
    def tracking(self) -> Tracking | None:
        """MLflow; everything that a release needs is in the model store, with MLflow or without."""

    @property
    def tuner(self) -> Tuner | None:
        """Runs the trials of a search on the platform; without one, ``mlops sweep`` runs them."""

    @property
    def table_maintenance(self) -> TableMaintenance | None:
        """Compacts tables and deletes files that no snapshot needs; without it, tables stay as they were written."""


class Profile(Stores, Protocol):
    """The stores and services of a profile, each created on first use.

    A profile has None for each service that it lacks, and never a stand-in that does nothing or refuses. A caller that
    can work without the service checks for None; one that cannot raises a UserError that says what to do.
    """

    @property
    def shared_tables(self) -> Tables | None:
        """The tables of the environment that shares its raw rows; without them, the problem's source provides rows."""

    @property
    def executions(self) -> Executions | None:
        """Runs on SageMaker, or as Jobs of a cluster."""

    @property
    def push_metrics(self) -> PushMetrics | None:
        """Sends the serving app's metrics; without it, Prometheus scrapes them."""
