"""The online store as a DynamoDB table: one item for each view and entity, and one for how far a view is complete.

The table's partition key is the string ``key``; ``expires`` is its TTL attribute.
"""

import json
import random
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.adapters.aws.clients import asking
from pipelines.storage.ports import NONE_WITHDRAWN, OnlineRow, Unavailable

KEY, EXPIRES = "key", "expires"

_AT_ONCE = 100  # keys, which one BatchGetItem takes
_MOST_OPERANDS = 100  # which IN takes
_TOGETHER = 16  # requests at once, when there are more
_READ_SECONDS = 1.0  # seconds that a request waits for its features at most
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_OLDER = "attribute_not_exists(#time) OR #time <= :time"


class DynamoOnline:
    """Implements :class:`pipelines.storage.ports.OnlineStore`.

    Rows are written one by one, each on the condition that the stored one is not newer, and the moments after them.
    DynamoDB deletes a row that is not written again for ``keep``, which must be longer than any view's ttl.
    """

    remote = True

    def __init__(self, client: Any, table: str, keep: timedelta, reader: Any = None) -> None:
        self._client, self._reader, self._table, self._keep = client, reader or client, table, keep
        self._pool = ThreadPoolExecutor(_TOGETHER, thread_name_prefix="online")

    def write(
        self,
        rows: Mapping[tuple[str, str], OnlineRow],
        as_of: Mapping[str, datetime],
        withdrawn: Mapping[tuple[str, str], Collection[datetime]] = NONE_WITHDRAWN,
    ) -> None:
        """See the port: a row takes the place of a withdrawn one in one write, so an entity is never without."""
        expires = {"N": str(int(time.time() + self._keep.total_seconds()))}
        items = [
            {
                KEY: {"S": _row(*pair)},
                "time": _micros(row.event_time),
                "values": {"S": json.dumps(row.values)},
                EXPIRES: expires,
            }
            for pair, row in rows.items()
        ]
        list(self._pool.map(self._put, items, (withdrawn.get(pair, ()) for pair in rows)))
        gone = {pair: times for pair, times in withdrawn.items() if pair not in rows}
        list(self._pool.map(self._delete, gone, gone.values()))
        for view, moment in as_of.items():
            self._put({KEY: {"S": _complete(view)}, "time": _micros(moment)})

    def forget(self, view: str) -> None:
        """See the port: DynamoDB deletes what is not written again."""

    def read(self, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], OnlineRow]:
        """See the port: one request for up to a hundred pairs, and several at once for more."""
        pairs = {_row(*pair): pair for pair in wanted}
        keys = list(pairs)
        parts = [keys[first : first + _AT_ONCE] for first in range(0, len(keys), _AT_ONCE)]
        answers = map(self._items, parts) if len(parts) == 1 else self._pool.map(self._items, parts)
        return {
            pairs[item[KEY]["S"]]: OnlineRow(_time(item["time"]), tuple(json.loads(item["values"]["S"])))
            for items in answers
            for item in items
        }

    def as_of(self, view: str) -> datetime | None:
        """See the port."""
        found = list(self._items([_complete(view)]))
        return _time(found[0]["time"]) if found else None

    def _put(self, item: dict[str, Any], withdrawn: Collection[datetime] = ()) -> None:
        newer = self._client.exceptions.ConditionalCheckFailedException
        with asking("DynamoDB"), suppress(newer):
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression=_NOT_OLDER,
                ExpressionAttributeNames={"#time": "time"},
                ExpressionAttributeValues={":time": item["time"]},
            )
            return
        for times in _parts(withdrawn):
            with asking("DynamoDB"), suppress(newer):
                self._client.put_item(TableName=self._table, Item=item, **_one_of(times))
                return

    def _delete(self, pair: tuple[str, str], withdrawn: Collection[datetime]) -> None:
        other = self._client.exceptions.ConditionalCheckFailedException
        for times in _parts(withdrawn):
            with asking("DynamoDB"), suppress(other):
                self._client.delete_item(TableName=self._table, Key={KEY: {"S": _row(*pair)}}, **_one_of(times))

    def _items(self, keys: list[str]) -> Iterator[dict[str, Any]]:
        """Return the items of these keys, asking again for those that DynamoDB leaves out when it is busy."""
        items: list[dict[str, Any]] = []
        asked: Any = {self._table: {"Keys": [{KEY: {"S": key}} for key in keys], "ConsistentRead": True}}
        until, wait = time.monotonic() + _READ_SECONDS, 0.02
        while asked:
            with asking("The online store (DynamoDB)"):
                answer = self._reader.batch_get_item(RequestItems=asked)
            items += answer["Responses"].get(self._table, ())
            asked = answer["UnprocessedKeys"]
            if asked:
                if time.monotonic() + wait > until:
                    raise Unavailable("The online store cannot be read (DynamoDB is busy); ask again later.")
                time.sleep(random.uniform(0, wait))  # noqa: S311  (jitter keeps no secret)
                wait *= 2
        return iter(items)


def _parts(times: Collection[datetime]) -> Iterator[list[datetime]]:
    """Yield times in parts, each of as many as a condition takes."""
    listed = sorted(times)
    return (listed[first : first + _MOST_OPERANDS] for first in range(0, len(listed), _MOST_OPERANDS))


def _one_of(times: Iterable[datetime]) -> dict[str, Any]:
    """Return the condition that the item stored is of one of these event times."""
    values = {f":time{number}": _micros(time) for number, time in enumerate(times)}
    return {
        "ConditionExpression": f"#time IN ({', '.join(values)})",
        "ExpressionAttributeNames": {"#time": "time"},
        "ExpressionAttributeValues": values,
    }


def _row(view: str, entity: str) -> str:
    return f"row\x1f{view}\x1f{entity}"


def _complete(view: str) -> str:
    return f"complete\x1f{view}"


def _micros(moment: datetime) -> dict[str, str]:
    return {"N": str((moment - _EPOCH) // timedelta(microseconds=1))}


def _time(number: dict[str, str]) -> datetime:
    return _EPOCH + timedelta(microseconds=int(number["N"]))
