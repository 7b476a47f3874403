"""The serving app behind a SageMaker endpoint, as its clients see it: by requests that the SDK signs."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.serving.client import App


class Endpoint(App):
    """A client of an endpoint; a request is sent once, so that what fails is counted as a caller would see it."""

    def __init__(self, runtime: Any, name: str) -> None:
        super().__init__(name)
        self._runtime = runtime

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
