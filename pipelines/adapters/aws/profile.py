"""The profile on AWS: its stores and its services that compute."""

from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.adapters.aws.stores import AwsStores

if TYPE_CHECKING:
    from pipelines.adapters.aws.athena import Athena
    from pipelines.adapters.aws.endpoint import Endpoint
    from pipelines.adapters.aws.executions import SageMakerExecutions
    from pipelines.adapters.aws.github_app import GitHubApp
    from pipelines.adapters.aws.tuning import TuningJobs
    from pipelines.adapters.profile import PushMetrics
    from pipelines.feature.offline import Lookup
    from pipelines.feature.table_maintenance import TableMaintenance


class AwsProfile(AwsStores):
    """Implements :class:`pipelines.adapters.profile.Profile`; the endpoint and GitHub's App exist on AWS alone."""

    @cached_property
    def executions(self) -> "SageMakerExecutions":
        """SageMaker Pipelines."""
        from pipelines.adapters.aws.executions import SageMakerExecutions

        return SageMakerExecutions(self.client("sagemaker"), self.client("logs"), self.objects, self.stack)

    @cached_property
    def tuner(self) -> "TuningJobs":
        """SageMaker tuning jobs."""
        from pipelines.adapters.aws.tuning import TuningJobs

        return TuningJobs(self.client("sagemaker"), self.objects, self.stack)

    @cached_property
    def table_maintenance(self) -> "TableMaintenance":
        """Athena."""
        return self._athena.maintain

    @cached_property
    def lookup(self) -> "Lookup | None":
        """Athena where the settings say so."""
        return None if self._settings.join == "duckdb" else self._athena.lookup

    @cached_property
    def push_metrics(self) -> "PushMetrics":
        """CloudWatch, once a minute."""
        from pipelines.adapters.aws.metrics import CloudWatchMetrics

        return lambda registry: CloudWatchMetrics(self.client("cloudwatch"), self.stack.metrics, registry).close

    @cached_property
    def endpoint(self) -> "Endpoint | None":
        """The environment's SageMaker endpoint, if it has one."""
        from pipelines.adapters.aws.endpoint import Endpoint

        if self.stack.endpoint is None:
            return None
        clients = self.client("sagemaker-runtime", attempts=1, seconds=60), self.client("sagemaker")
        return Endpoint(*clients, self.stack.endpoint)

    @cached_property
    def github(self) -> "GitHubApp | None":
        """The GitHub App that starts workflows on triggers, if the stack states one."""
        from pipelines.adapters.aws.github_app import GitHubApp

        return GitHubApp(self.client("kms"), self.stack.dispatch) if self.stack.dispatch else None

    @cached_property
    def _athena(self) -> "Athena":
        from pipelines.adapters.aws.athena import Athena

        clients, features = (self.client("athena"), self.client("s3")), self.stack.features
        return Athena(*clients, features.workgroup, self.stack.store.lake, self.tables)
