"""A GitHub App that starts a workflow at once, instead of at its next poll; its private key never leaves KMS.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app: a token signed by the key is
valid for ten minutes and is exchanged for a token of the installation, which may start workflows of the repository.
"""

import base64
import json
import time
from typing import Any

import urllib3

from pipelines.adapters.aws.clients import asking
from pipelines.config import UserError
from pipelines.contracts.stack import Dispatch
from pipelines.storage.ports import Unavailable

_SECONDS = 10.0  # for each answer
_VALID = (-60, 540)  # seconds before and after now, within GitHub's ten minutes: clocks differ


class GitHubApp:
    """An installation of the App on one repository."""

    def __init__(self, kms: Any, installed: Dispatch) -> None:
        self._kms, self._installed = kms, installed
        self._pool = urllib3.PoolManager(timeout=_SECONDS, retries=False)

    def dispatch(self, event: str, payload: dict[str, Any]) -> None:
        """Send a ``repository_dispatch`` event, for which workflows of the repository listen.

        Raises:
            UserError: when GitHub refuses, as for a wrong key, or an App without the right to write contents.
            Unavailable: when it does not answer, or is failing.
        """
        answer = self._post(f"app/installations/{self._installed.installation}/access_tokens", self.token(), {})
        wanted = {"event_type": event, "client_payload": payload}
        self._post(f"repos/{self._installed.repository}/dispatches", str(answer["token"]), wanted)

    def token(self) -> str:
        """Return a JSON web token of the App, signed by its key (RS256)."""
        now = int(time.time())
        claims = {"iat": now + _VALID[0], "exp": now + _VALID[1], "iss": self._installed.app}
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        with asking("KMS"):
            signature = self._kms.sign(
                KeyId=self._installed.key,
                Message=signed,
                MessageType="RAW",
                SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
            )["Signature"]
        return b".".join((signed, _encoded(signature))).decode()

    def _post(self, path: str, token: str, content: dict[str, Any]) -> dict[str, Any]:
        heads = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        try:
            reply = self._pool.request("POST", f"{self._installed.api}/{path}", json=content, headers=heads)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"GitHub cannot be reached ({error}); the next poll reads the queue") from error
        if reply.status >= 500 or reply.status == 429:
            raise Unavailable(f"GitHub is busy or failing (status {reply.status}); ask again later")
        if reply.status >= 400:
            raise UserError(f"GitHub refused {path} with {reply.status}: {_said(reply.data)}; see docs/aws-adapters.md")
        return json.loads(reply.data) if reply.data else {}


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _said(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace")[:200]
