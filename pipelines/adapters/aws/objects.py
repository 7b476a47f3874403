"""The object store as an S3 bucket."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.adapters.aws.clients import asking
from pipelines.contracts import keys
from pipelines.storage.key_check import checked

_READS = 3  # the client tries a request again, but not the body of an answer that breaks off


class S3Objects:
    """Implements :class:`pipelines.storage.ports.ObjectStore`; each object is encrypted with the bucket's KMS key.

    Each write carries its SHA-256, which S3 verifies; boto3 verifies reads.
    """

    def __init__(self, client: Any, bucket: str, key: str, locked_days: int = 0) -> None:
        self._client, self.bucket, self._locked = client, bucket, timedelta(days=locked_days)
        self._encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": True}

    def read(self, key: str) -> bytes | None:
        """See the port."""
        with asking("S3"):
            for left in reversed(range(_READS)):
                try:
                    answer = self._client.get_object(Bucket=self.bucket, Key=checked(key))
                except self._client.exceptions.NoSuchKey:
                    return None
                try:
                    return answer["Body"].read()  # type: ignore[no-any-return]
                except BotoCoreError:
                    if not left:
                        raise
        raise AssertionError("the last read returns or raises")

    def write(self, key: str, data: bytes) -> None:
        """See the port."""
        with asking("S3"):
            self._put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """See the port: a write on the condition that no object exists.

        A request whose answer is lost is sent again and then finds the object that it created, so each object carries
        the id of its call. Where the bucket has an object lock, nobody can delete an audit record
        (:data:`pipelines.contracts.keys.LOCKED`) for ``locked_days``; S3 asks for a permission of its own to lock one,
        which not everybody has who creates other objects.
        """
        call = secrets.token_hex(16)
        with asking("S3"):
            while True:
                try:
                    self._put(key, data, IfNoneMatch="*", Metadata={"call": call}, **self._lock(key))
                    return True
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code == "PreconditionFailed":
                        head = self._client.head_object(Bucket=self.bucket, Key=key)
                        return bool(head["Metadata"].get("call") == call)
                    if code != "ConditionalRequestConflict":  # two at once, of which S3 has not chosen one: ask again
                        raise

    def keys(self, prefix: str) -> list[str]:
        """See the port; S3 lists by UTF-8 bytes, which is the order of Python's strings."""
        return [item["Key"] for page in self._pages(Prefix=prefix) for item in page.get("Contents", ())]

    def first(self, prefix: str, limit: int, after: str = "") -> list[str]:
        """See the port; limits up to 1,000, which is what S3 lists at once."""
        with asking("S3"):
            answer = self._client.list_objects_v2(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/", MaxKeys=limit, StartAfter=after or prefix
            )
        return [item["Key"] for item in answer.get("Contents", ())]

    def folders(self, prefix: str) -> list[str]:
        """See the port."""
        pages = self._pages(Prefix=prefix, Delimiter="/")
        return [item["Prefix"][len(prefix) : -1] for page in pages for item in page.get("CommonPrefixes", ())]

    def _pages(self, **given: str) -> list[dict[str, Any]]:
        with asking("S3"):
            return list(self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **given))

    def _lock(self, key: str) -> dict[str, Any]:
        if not self._locked or not key.startswith(keys.LOCKED):
            return {}
        return {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": datetime.now(UTC) + self._locked}

    def _put(self, key: str, data: bytes, **given: Any) -> None:
        self._client.put_object(
            Bucket=self.bucket, Key=checked(key), Body=data, ChecksumAlgorithm="SHA256", **self._encrypted, **given
        )
