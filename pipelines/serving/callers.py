"""Who may ask for predictions: callers with a bearer token (RFC 6750), and how often each may ask.

The file of callers has the SHA-256 of each token, so that to read it is not to hold one. Tokens are random, which is
why a plain hash does; ``mlops token`` makes them.
"""

import hashlib
import logging
import secrets
import time
from pathlib import Path

import tomlkit

from pipelines.config import UserError, load_toml
from pipelines.contracts.callers import CallersFile
from pipelines.serving.limits import Unread
from pipelines.serving.problems import LATER

log = logging.getLogger(__name__)

_TOKEN_BYTES = 32
_WRONG = {"WWW-Authenticate": "Bearer", "Connection": "close"}


class Callers:
    """The callers of a file, which is read again when it changes.

    Raises:
        UserError: when the file cannot be read, with the reason.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left: dict[str, tuple[float, float]] = {}
        self._read()

    def follow(self) -> None:
        """Read the file again if it changed; while it cannot be read, those who might ask still may."""
        try:
            if self._path.stat().st_mtime_ns != self._stamp:
                self._read()
                log.info("callers read file=%s callers=%d", self._path, len(self._by_token))
        except (UserError, OSError) as error:
            log.error("callers not read again reason=%s", error)

    def admit(self, authorization: bytes | None) -> str:
        """Return who asks by the header ``Authorization``.

        Raises:
            Unread: 401 for who shows no token of a caller, 429 for a caller who asks more often than it may.
        """
        scheme, _, token = (authorization or b"").strip().partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            raise Unread(401, "Who asks?", "Send the header 'Authorization: Bearer TOKEN'.", _WRONG)
        found = self._by_token.get(hashlib.sha256(token.strip()).hexdigest())
        if found is None:
            told = "The token is none of this app's; ask its team for one, or for a new one."
            raise Unread(401, "Who asks?", told, _WRONG | {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        name, rate = found
        if rate is not None and not self._within(name, rate):
            told = f"{name} may ask {rate:g} times a second; ask again later."
            raise Unread(429, "Too many requests", told, {"Connection": "close"} | LATER)
        return name

    def _within(self, name: str, rate: float) -> bool:
        """Take one of what is left to a caller: at most what a second gives, and at least one."""
        now, most = time.monotonic(), max(1.0, rate)
        left, when = self._left.get(name, (most, now))
        left = min(most, left + (now - when) * rate)
        self._left[name] = (left - 1 if left >= 1 else left), now
        return left >= 1

    def _read(self) -> None:
        stamp = self._path.stat().st_mtime_ns if self._path.exists() else 0
        given = load_toml(self._path, CallersFile).callers
        self._by_token = {one.token_sha256: (name, one.requests_per_second) for name, one in given.items()}
        self._stamp = stamp


def new_caller(path: Path, name: str, requests_per_second: float | None) -> str:
    """Add a caller to a file, which is made if need be, and return its token, which is kept nowhere.

    Raises:
        UserError: when the file cannot be read, or has a caller of that name.
    """
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    if path.exists() and name in load_toml(path, CallersFile).callers:
        raise UserError(f"{path} has a caller {name!r} already; for a new token add another name, and remove this")
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    made = {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "requests_per_second": requests_per_second}
    callers = document.setdefault("callers", tomlkit.table(is_super_table=True))
    callers[name] = {key: value for key, value in made.items() if value is not None}
    try:
        CallersFile.model_validate(document.unwrap())
    except ValueError as error:
        raise UserError(f"{name!r} is no name of a caller: write small letters, digits and hyphens") from error
    new = path.with_name(f".{path.name}.new")
    new.write_text(tomlkit.dumps(document), encoding="utf-8")
    new.replace(path)
    return token
