"""The connection to a cluster, from inside a pod or by the kubeconfig, and explanations of its errors."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from pipelines.config import UserError
from pipelines.storage.ports import Unavailable


def connect() -> tuple[client.BatchV1Api, client.CoreV1Api]:
    """Return clients of the cluster.

    Raises:
        UserError: when no cluster is configured.
    """
    settings = client.Configuration()
    try:
        config.load_incluster_config(settings)
    except config.ConfigException:
        try:
            config.load_kube_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise UserError(f"no cluster is configured ({error}); set KUBECONFIG: docs/local.md") from error
    settings.retries = 3
    api = client.ApiClient(settings)
    return client.BatchV1Api(api), client.CoreV1Api(api)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn the cluster's refusals and failures into :class:`Unavailable`; an invalid request stays an error.

    Raises:
        Unavailable: without valid credentials or permission, and when the API server is busy or out of reach.
    """
    try:
        yield
    except ApiException as error:
        if error.status in (401, 403):
            raise Unavailable(f"the cluster refuses {what}: {_message(error)}; use credentials that may") from error
        if error.status == 429 or error.status >= 500:
            raise Unavailable(f"the cluster is busy or failing at {what} ({error.status}); ask again later") from error
        raise
    except HTTPError as error:
        raise Unavailable(f"the cluster cannot be reached for {what} ({error}); is it running?") from error


def _message(error: ApiException) -> Any:
    try:
        return json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        return error.reason
