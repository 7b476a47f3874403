"""What a profile is: the stores of a place, and what else the place offers; one class for each implements it."""

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
"""Begins to send a registry's metrics to where they are kept, and returns what ends it."""


class Stores(Protocol):
    """What steps use of a profile. What a place does not have is None, and who needs it says what to do instead."""

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
        """What asks for continuous training: alarms, and people."""

    @property
    def signer(self) -> Signer:
        """The audit key; its private half stays out of the object store."""

    @property
    def metrics_sink(self) -> MetricsSink:
        """Where what batch work measured is shown and held to bounds."""

    @property
    def lookup(self) -> Lookup | None:
        """What joins features to requests where their tables are; without one, DuckDB joins on this machine."""

    @property
    def tracking(self) -> Tracking | None:
        """MLflow; without one, the model store knows everything."""

    @property
    def tuner(self) -> Tuner | None:
        """What makes the trials of a search elsewhere; without one, ``mlops sweep`` makes them."""

    @property
    def table_maintenance(self) -> TableMaintenance | None:
        """What compacts tables and deletes what no snapshot needs; without it, they are left as they are."""


class Profile(Stores, Protocol):
    """What :class:`pipelines.bootstrap.Platform` takes from a place, each thing made when first asked for.

    A place that lacks something has None for it: no stand-in that does nothing or refuses. So whoever can do without
    looks for None, and whoever cannot raises a UserError that says what to do.
    """

    @property
    def shared_tables(self) -> Tables | None:
        """The tables of the environment whose raw rows this one reads; without, the problem's source has the rows."""

    @property
    def executions(self) -> Executions | None:
        """Runs that are left to themselves: on SageMaker, or as Jobs of a cluster."""

    @property
    def push_metrics(self) -> PushMetrics | None:
        """What sends the serving app's metrics; without it, Prometheus asks for them."""
