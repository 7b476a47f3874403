"""Sends events to an EventBridge bus, and receives them from the SQS queue that a rule of the bus feeds.

The rule passes on events whose ``source`` is the project's name; each arrives in an envelope with its ``detail``.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.adapters.aws.clients import asking
from pipelines.storage.ports import Depth, Message, Unavailable

log = logging.getLogger(__name__)

DETAIL_TYPE = "trigger"

_COUNT = "ApproximateNumberOfMessages"
_AT_ONCE = 10  # messages, which one request to SQS takes
_HIDDEN_SECONDS = 3600  # what is not deleted comes back after it: a consumer was killed
_WAIT_SECONDS = 1  # with none, SQS asks only some of its servers, and may find nothing although there is


class EventQueue:
    """Implements :class:`pipelines.storage.ports.Queue`."""

    def __init__(
        self, events: Any, sqs: Any, bus: str, source: str, url: str, hidden_seconds: int = _HIDDEN_SECONDS
    ) -> None:
        self._events, self._sqs, self._bus, self._source, self._url = events, sqs, bus, source, url
        self._hidden_seconds = hidden_seconds

    def send(self, body: bytes) -> None:
        """See the port."""
        entry = {"EventBusName": self._bus, "Source": self._source, "DetailType": DETAIL_TYPE, "Detail": body.decode()}
        with asking("EventBridge"):
            answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            (failed,) = answer["Entries"]
            raise Unavailable(f"EventBridge took no event ({failed['ErrorCode']}); send it again later")

    def receive(self, limit: int = 100) -> Sequence[Message]:
        """See the port; a message that is no event of the project stays until SQS moves it to the dead-letter queue."""
        found: dict[str, Message] = {}
        while len(found) < limit:
            with asking("SQS"):
                answer = self._sqs.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=min(_AT_ONCE, limit - len(found)),
                    WaitTimeSeconds=_WAIT_SECONDS,
                    VisibilityTimeout=self._hidden_seconds,
                )
            messages = answer.get("Messages", [])
            if not messages:
                break
            for message in messages:
                body = _detail(message["Body"])
                if body is None:
                    log.warning("no event message=%s", message["MessageId"])
                else:
                    found[message["MessageId"]] = Message(message["ReceiptHandle"], body)
        return list(found.values())

    def delete(self, receipts: Iterable[str]) -> None:
        """See the port."""
        left = list(receipts)
        for first in range(0, len(left), _AT_ONCE):
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt}
                for number, receipt in enumerate(left[first : first + _AT_ONCE])
            ]
            with asking("SQS"):
                answer = self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
            ours = [failed["Code"] for failed in answer.get("Failed", ()) if not failed["SenderFault"]]
            if ours:
                raise Unavailable(f"SQS did not delete {len(ours)} messages ({ours[0]}); delete them again later")

    def depth(self) -> Depth:
        """See the port; messages that were given up are in the queue that the redrive policy names."""
        with asking("SQS"):
            asked = {"QueueUrl": self._url, "AttributeNames": [_COUNT, "RedrivePolicy"]}
            found = self._sqs.get_queue_attributes(**asked)["Attributes"]
            if "RedrivePolicy" not in found:
                return Depth(int(found[_COUNT]), 0)
            name = json.loads(found["RedrivePolicy"])["deadLetterTargetArn"].rpartition(":")[2]
            url = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
            dead = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[_COUNT])["Attributes"]
        return Depth(int(found[_COUNT]), int(dead[_COUNT]))


def _detail(envelope: str) -> bytes | None:
    try:
        detail = json.loads(envelope)["detail"]
    except (ValueError, KeyError, TypeError):
        return None
    return json.dumps(detail).encode()
