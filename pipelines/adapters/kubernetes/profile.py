"""The profile on Kubernetes: the stores of AWS on an emulator, and all computation in a cluster."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.adapters.aws.profile import AwsProfile
from pipelines.config import UserError
from pipelines.contracts import Stack

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from pipelines.adapters.kubernetes.executions import KubernetesExecutions
    from pipelines.training.tuning import NoTuner


class KubernetesProfile(AwsProfile):
    """The stores and services of the profile, each created on first use."""

    @cached_property
    def stack(self) -> Stack:
        """What the environment's stack provisioned; the emulator has another address inside pods than outside.

        Raises:
            UserError: without the emulator's address; see also :func:`read_stack`.
        """
        url = self._session.client("s3").meta.endpoint_url
        if "amazonaws.com" in url:
            raise UserError("set AWS_ENDPOINT_URL to the emulator of AWS, such as http://localhost:4566")
        return super().stack.model_copy(update={"endpoint_url": url, "endpoint": None})

    @cached_property
    def executions(self) -> "KubernetesExecutions":  # type: ignore[override]
        """Jobs in the environment's namespace."""
        from pipelines.adapters.kubernetes.cluster import connect
        from pipelines.adapters.kubernetes.executions import KubernetesExecutions

        return KubernetesExecutions(*connect(), self.objects, f"{self.stack.project}-{self.stack.environment}")

    @cached_property
    def table_maintenance(self) -> None:
        """None: an emulator has no Athena."""

    @cached_property
    def tuner(self) -> "NoTuner":  # type: ignore[override]
        """None: 'mlops sweep' runs the trials itself."""
        from pipelines.training.tuning import NoTuner

        return NoTuner()

    def watch(self, _registry: "CollectorRegistry") -> Callable[[], None]:
        """Do nothing: Prometheus scrapes the serving app."""
        return lambda: None
