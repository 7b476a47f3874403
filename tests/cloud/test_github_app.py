"""GitHub is told of a trigger by an App whose key lies in KMS; a real server stands for GitHub, and checks signatures."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from pipelines.adapters.aws.github_app import GitHubApp
from pipelines.config import UserError
from pipelines.contracts.stack import Dispatch
from pipelines.entrypoints import dispatch
from pipelines.storage.ports import Unavailable

pytestmark = pytest.mark.cloud


class GitHub(BaseHTTPRequestHandler):
    """What the API does of what we ask: it knows one App by its public key, and its one installation."""

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = self.headers["Authorization"].removeprefix("Bearer ")
        if self.server.failing:
            return self.answer(self.server.failing, {"message": "made up"})
        if self.path == "/app/installations/7/access_tokens":
            claims = self.server.claims(token)
            if claims is None or claims["iss"] != "Iv1.abc" or not claims["iat"] < time.time() < claims["exp"]:
                return self.answer(401, {"message": "A JSON web token could not be decoded"})
            return self.answer(201, {"token": "ghs_installed"})
        if self.path == "/repos/team/fleet/dispatches" and token == "ghs_installed":
            self.server.dispatched.append(content)
            return self.answer(204, None)
        return self.answer(404, {"message": "Not Found"})

    def answer(self, status, content):
        body = json.dumps(content).encode() if content else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def key(made):
    return made._key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")


@pytest.fixture
def github(made, key):
    """The server, which has the App's public key as GitHub has."""
    public = serialization.load_der_public_key(made.client("kms").get_public_key(KeyId=key)["PublicKey"])

    def claims(token):
        signed, _, signature = token.rpartition(".")
        try:
            public.verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return None
        assert json.loads(_decoded(signed.partition(".")[0])) == {"alg": "RS256", "typ": "JWT"}
        return json.loads(_decoded(signed.partition(".")[2]))

    server = ThreadingHTTPServer(("127.0.0.1", 0), GitHub)
    server.claims, server.dispatched, server.failing = claims, [], None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def installed(github, key, **changes):
    given = {"app": "Iv1.abc", "installation": 7, "repository": "team/fleet", "key": key}
    return Dispatch(**{**given, "api": f"http://127.0.0.1:{github.server_port}", **changes})


def test_a_trigger_rings_at_once(made, new_cloud, github, key, monkeypatch):
    stack = made.stack().model_copy(update={"dispatch": installed(github, key)})
    made.publish(stack)
    for name, value in new_cloud(stack=stack).settings.variables().items():
        monkeypatch.setenv(name, value)
    dispatch._platform.cache_clear()
    event = {"detail-type": "trigger", "detail": {"kind": "alarm", "reason": "drift", "at": "2024-03-01T00:00:00Z"}}
    assert dispatch.handler(event, None) == {"dispatched": "trigger"}
    dispatch._platform.cache_clear()
    payload = {"environment": "dev", "reason": "drift"}
    assert github.dispatched == [{"event_type": "trigger", "client_payload": payload}]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"app": "Iv1.other"}, "access_tokens with 401: A JSON web token could not be decoded"),
        ({"installation": 8}, "installations/8/access_tokens with 404: Not Found"),
        ({"repository": "team/other"}, "repos/team/other/dispatches with 404"),
    ],
)
def test_what_github_refuses_is_reported(made, github, key, changes, reason):
    app = GitHubApp(made.client("kms"), installed(github, key, **changes))
    with pytest.raises(UserError, match=reason):
        app.dispatch("trigger", {})
    assert github.dispatched == []


def test_another_key_signs_for_nobody(made, github, key):
    other = made._key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    with pytest.raises(UserError, match="with 401"):
        GitHubApp(made.client("kms"), installed(github, other)).dispatch("trigger", {})


def test_a_github_that_fails_or_is_away_is_asked_again_later(made, github, key):
    github.failing = 502
    with pytest.raises(Unavailable, match="busy or failing"):
        GitHubApp(made.client("kms"), installed(github, key)).dispatch("trigger", {})
    with pytest.raises(Unavailable, match="GitHub cannot be reached"):
        GitHubApp(made.client("kms"), installed(github, key, api="http://127.0.0.1:9")).dispatch("trigger", {})


def test_an_environment_without_an_app_says_so(new_cloud, monkeypatch):
    monkeypatch.setattr(dispatch, "_platform", new_cloud)
    with pytest.raises(UserError, match="'dev' states no dispatch"):
        dispatch.handler({}, None)
