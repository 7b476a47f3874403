"""The serving app behind a SageMaker endpoint: requests as its clients send them, and its state."""

from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.adapters.aws.clients import asking
from pipelines.serving.client import ServingClient


class Health(NamedTuple):
    """The state of an endpoint: its status, and the live configuration, which after a failed update is the old one.

    Attributes:
        image: that the live instances run; None where SageMaker names none.
        instances: how many answer, and how many are wanted; None of a serverless endpoint.
        reason: why it failed, when it did.
    """

    status: str
    configuration: str
    image: str | None
    instances: tuple[int, int] | None
    changed: datetime
    reason: str = ""


class Endpoint(ServingClient):
    """A client of an endpoint; sends each request once, so that failures count as a caller would see them."""

    def __init__(self, runtime: Any, sagemaker: Any, name: str) -> None:
        super().__init__(name)
        self._runtime, self._sagemaker = runtime, sagemaker

    def health(self) -> Health:
        """Return the state of the endpoint."""
        with asking("SageMaker"):
            found = self._sagemaker.describe_endpoint(EndpointName=self.url)
        (variant,) = found.get("ProductionVariants") or [{}]
        images = variant.get("DeployedImages") or [{}]
        wanted = variant.get("DesiredInstanceCount")
        return Health(
            status=found["EndpointStatus"],
            configuration=found["EndpointConfigName"],
            image=images[0].get("SpecifiedImage"),
            instances=None if wanted is None else (variant.get("CurrentInstanceCount", 0), wanted),
            changed=found["LastModifiedTime"],
            reason=found.get("FailureReason", ""),
        )

    def _send(self, body: bytes) -> tuple[int, bytes]:
        try:
            answer = self._runtime.invoke_endpoint(EndpointName=self.url, Body=body, ContentType="application/json")
            return 200, answer["Body"].read()
        except ClientError as error:  # of a model error the app's own status and answer
            told = error.response
            status = told.get("OriginalStatusCode") or told["ResponseMetadata"]["HTTPStatusCode"]
            return int(status), str(told.get("OriginalMessage") or told["Error"]["Message"]).encode()
        except BotoCoreError as error:
            raise OSError(str(error)) from error
