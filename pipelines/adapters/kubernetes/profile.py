"""The profile on Kubernetes: the stores of AWS on an emulator, and all computation in a cluster."""

from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.adapters.aws.stores import AwsStores
from pipelines.config import UserError
from pipelines.contracts import Stack

if TYPE_CHECKING:
    from pipelines.adapters.kubernetes.executions import KubernetesExecutions


class KubernetesProfile(AwsStores):
    """Implements :class:`pipelines.adapters.profile.Profile`; an emulator has no Athena and no tuning jobs."""

    lookup: None = None
    tuner: None = None
    table_maintenance: None = None
    push_metrics: None = None

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
    def executions(self) -> "KubernetesExecutions":
        """Jobs in the environment's namespace."""
        from pipelines.adapters.kubernetes.cluster import connect
        from pipelines.adapters.kubernetes.executions import KubernetesExecutions

        return KubernetesExecutions(*connect(), self.objects, f"{self.stack.project}-{self.stack.environment}")
