"""The Iceberg catalog in AWS Glue, which reports a commit whose answer was lost as unknown."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.exceptions import CommitStateUnknownException

from pipelines.adapters.aws.clients import asking

_CHANGES = ("create_table", "update_table")
_ANSWERS = {"AlreadyExistsException", "ConcurrentModificationException", "EntityNotFoundException"}


def glue_catalog(glue: Any, glue_once: Any, warehouse: str, s3: dict[str, str]) -> GlueCatalog:
    """Return the catalog; ``glue_once`` is a client without retries.

    A commit that is sent again after its answer was lost is refused as a conflict with itself, and pyiceberg then
    deletes the files that the table now consists of. So commits are sent once, and one that is not known to have
    failed raises an error of its own; :meth:`pipelines.storage.tables.Tables.overwrite` then reads the table again.
    """
    return GlueCatalog("default", client=_CommitsOnce(glue, glue_once), warehouse=warehouse, **s3)


class _CommitsOnce:
    """The client that pyiceberg sees."""

    def __init__(self, glue: Any, glue_once: Any) -> None:
        self._glue, self._glue_once = glue, glue_once

    def __getattr__(self, name: str) -> Any:
        if name in _CHANGES:
            return self._once(name)
        found = getattr(self._glue, name)
        return _told(found) if callable(found) else found

    def _once(self, name: str) -> Any:
        def send(**given: Any) -> Any:
            try:
                return getattr(self._glue_once, name)(**given)
            except ClientError as error:
                if error.response["Error"]["Code"] in _ANSWERS:
                    raise
                raise CommitStateUnknownException(str(error)) from error
            except BotoCoreError as error:
                raise CommitStateUnknownException(str(error)) from error

        return send


def _told(method: Callable[..., Any]) -> Callable[..., Any]:
    def ask(*args: Any, **given: Any) -> Any:
        with asking("Glue"):
            return method(*args, **given)

    return ask
