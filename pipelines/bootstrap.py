"""The composition root: the one place that chooses adapters."""

import importlib
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.config import Problem, UserError, WrongUsage, nearest
from pipelines.orchestration.catalog import PIPELINES
from pipelines.orchestration.pipeline import Pipeline
from pipelines.settings import Settings, rank

if TYPE_CHECKING:
    from pipelines.adapters.aws.profile import AwsProfile
    from pipelines.adapters.profile import Profile
    from pipelines.adapters.resources import Resources
    from pipelines.config import Code, Source, StrictModel
    from pipelines.continuous_training import RunPipeline
    from pipelines.deployment.target import ReleaseTarget
    from pipelines.feature.offline import Lookup
    from pipelines.feature.table_maintenance import TableMaintenance
    from pipelines.orchestration.executions import Executions
    from pipelines.orchestration.runner import Observer, Runner
    from pipelines.registry.model_store import ModelStore
    from pipelines.registry.release_log import ReleaseLog
    from pipelines.registry.tracking import Tracking
    from pipelines.storage.ports import MetricsSink, ObjectStore, OnlineStore, Queue, Signer
    from pipelines.storage.prediction_log import LogReader
    from pipelines.storage.tables import Tables
    from pipelines.training.tuning import Tuner


def _embedded(settings: Settings, _root: Path) -> "Profile":
    from pipelines.adapters.local.profile import LocalProfile

    return LocalProfile(settings)


def _aws(settings: Settings, root: Path) -> "Profile":
    from pipelines.adapters.aws.profile import AwsProfile

    return AwsProfile(settings, root)


def _kubernetes(settings: Settings, root: Path) -> "Profile":
    from pipelines.adapters.kubernetes.profile import KubernetesProfile

    return KubernetesProfile(settings, root)


PROFILES: "Mapping[str, Callable[[Settings, Path], Profile]]" = {
    # name: maker            objects, tables, online store, events, audit key, tracking
    "embedded": _embedded,  # files, Iceberg on SQLite, SQLite, SQLite, a file, MLflow on SQLite
    "aws": _aws,  # S3, Iceberg on Glue, DynamoDB, EventBridge and SQS, KMS, managed MLflow
    "kubernetes": _kubernetes,  # the same on an emulator of AWS, and MLflow in the cluster
}


def pipeline(name: str) -> Pipeline:
    """Return a pipeline by name, its wiring checked.

    Raises:
        WrongUsage: when there is no pipeline of this name.
        UserError: when a step takes a parameter that neither a step before it nor the platform provides.
    """
    from pipelines.adapters.resources import resource_types

    if name not in PIPELINES:
        raise WrongUsage(f"there is no pipeline {name!r}; {nearest(name, PIPELINES)}")
    found: Pipeline = importlib.import_module(PIPELINES[name]).PIPELINE
    found.check_resources(resource_types())
    return found


class Platform:
    """What steps, commands and the serving app use; each is created on first use.

    Steps may take what :class:`pipelines.adapters.resources.Resources` lists, by name.
    """

    def __init__(self, settings: Settings, root: Path = Path()) -> None:
        self.settings, self.root = settings, root.resolve()
        self.home = settings.home.resolve()

    def changed(self, given: dict[str, object]) -> "Platform":
        """Return another platform with other values for some settings."""
        return Platform(self.settings.changed(given), self.root)

    @cached_property
    def problem(self) -> Problem:
        """The problem that the settings name."""
        return Problem.load(self.settings.problem)

    @cached_property
    def source(self) -> "Source":
        """Where raw rows come from: the problem's own source, or another environment's shared tables."""
        from pipelines.feature.shared_tables import shared_source

        shared_tables = self.profile.shared_tables
        return shared_source(self.problem, shared_tables) if shared_tables else self.problem.read

    @cached_property
    def code(self) -> "Code":
        """The code that is running."""
        from pipelines.registry.provenance import code

        return code(self.problem, self.root, self.settings.commit)

    @cached_property
    def profile(self) -> "Profile":
        """Where the stores are."""
        name = self.settings.profile
        try:
            return PROFILES[name](self.settings, self.root)
        except ModuleNotFoundError as error:
            raise UserError(f"the profile {name!r} needs {error.name}: run 'uv sync --extra {name}'") from error

    @cached_property
    def objects(self) -> "ObjectStore":
        """Runs, models, release logs, decisions and reports."""
        return self.profile.objects

    @cached_property
    def tables(self) -> "Tables":
        """Raw and feature tables."""
        return self.profile.tables

    @cached_property
    def online(self) -> "OnlineStore":
        """The online feature store."""
        return self.profile.online

    @cached_property
    def events(self) -> "Queue":
        """The queue of triggers for continuous training: alarms and people."""
        return self.profile.events

    @cached_property
    def signer(self) -> "Signer":
        """The audit key; its private half stays out of the object store."""
        return self.profile.signer

    @cached_property
    def lookup(self) -> "Lookup | None":
        """The engine that joins features to requests where the tables are."""
        return self.profile.lookup

    @cached_property
    def tracking(self) -> "Tracking | None":
        """MLflow."""
        return self.profile.tracking

    @cached_property
    def metrics_sink(self) -> "MetricsSink":
        """Where batch runs publish their metrics, which alarms watch."""
        return self.profile.metrics_sink

    @cached_property
    def table_maintenance(self) -> "TableMaintenance | None":
        """Compacts tables and deletes files that no snapshot needs."""
        return self.profile.table_maintenance

    @cached_property
    def tuner(self) -> "Tuner | None":
        """Runs the trials of a search on the platform."""
        return self.profile.tuner

    @cached_property
    def models(self) -> "ModelStore":
        """The model store."""
        from pipelines.registry.model_store import ModelStore

        return ModelStore(self.objects)

    @cached_property
    def releases(self) -> "ReleaseLog":
        """The release log of this environment."""
        from pipelines.registry.release_log import ReleaseLog

        return ReleaseLog(self.objects, self.signer, self.settings.environment)

    @cached_property
    def release_target(self) -> "ReleaseTarget":
        """Where releases of this environment go, and what may be released there."""
        from pipelines.deployment.inquiry import Inquiry
        from pipelines.deployment.target import ReleaseTarget, RunningCode
        from pipelines.serving.instances import read_reports

        serving = RunningCode(self.problem, self.models, self.online)
        instances = partial(read_reports, self.objects, self.settings.environment)
        ask = Inquiry(self.objects, self.settings.environment, self.settings.confirm_seconds).unservable
        return ReleaseTarget(self.releases, self.models, serving, self._releases_before, instances, ask)

    def _releases_before(self) -> "ReleaseLog | None":
        """Return the release log of the environment that models come from, where ``cloud.toml`` states one."""
        from pipelines.config import load_toml
        from pipelines.contracts import Cloud

        cloud, own = load_toml(self.root / "cloud.toml", Cloud), self.settings.environment
        before = cloud.before(own) if own in cloud.environments else None
        return self.changed({"environment": before}).releases if before else None

    @cached_property
    def predictions(self) -> "LogReader":
        """The prediction log of this environment."""
        from pipelines.storage.prediction_log import LogReader

        return LogReader(self.objects, self.settings.environment)

    @cached_property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, which outlives the process that trains."""
        return self.settings.checkpoints or self.home / "checkpoints"

    @cached_property
    def profiles(self) -> Path:
        """The folder of training profiles, by run."""
        return self.home / "profiles"

    @cached_property
    def runner(self) -> "Runner":
        """The pipeline runner."""
        from pipelines.orchestration.runner import Runner

        return Runner(self.objects, self.resource, writes=not rank())

    @cached_property
    def executions(self) -> "Executions":
        """Runs on SageMaker, or as Jobs of a cluster.

        Raises:
            UserError: on a profile without any; ask the profile itself where that is no error.
        """
        if self.profile.executions is None:
            raise UserError("runs elsewhere need RATCHET_PROFILE=aws or RATCHET_PROFILE=kubernetes")
        return self.profile.executions

    @cached_property
    def aws(self) -> "AwsProfile":
        """The profile on AWS, the only one with an endpoint.

        Raises:
            UserError: on another profile.
        """
        if self.settings.profile != "aws":
            raise UserError("SageMaker needs RATCHET_PROFILE=aws and an environment that is provisioned there")
        profile = self.profile
        from pipelines.adapters.aws.profile import AwsProfile

        assert isinstance(profile, AwsProfile), "the profile is what the settings say"
        return profile

    @cached_property
    def run_pipeline(self) -> "RunPipeline":
        """Runs another pipeline to its end, for a step that needs its result."""
        return self.run

    def run(
        self, name: str, params: "StrictModel", run_id: str | None = None, observe: "Observer | None" = None
    ) -> Any:
        """Run a pipeline, or resume the run of that id, and return its last step's output."""
        chosen = pipeline(name)
        run_id = self.runner.start(chosen, params, run_id)
        return self.runner.run(chosen, run_id, observe) if observe else self.runner.run(chosen, run_id)

    def resource(self, name: str) -> Any:
        """Return a resource by its name, for a step's parameter."""
        from pipelines.adapters.resources import resource_types

        resources: Resources = self  # mypy checks that the platform has every resource, of the type that it states
        if name not in resource_types():
            raise UserError(f"there is no resource {name!r}; {nearest(name, resource_types())}")
        return getattr(resources, name)
