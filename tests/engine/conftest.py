"""The engine, checkouts for it to run in, and a stand-in for the one service that the programs ask themselves."""

import json
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest

from tests.cloud.emulator import running_emulator
from tests.engine.build import CLI, KIND, ROOT, build
from tests.engine.engine import Engine
from tests.infra.environments import ACCOUNT, REGION, image

PARTS = (
    ".github", "Makefile", "cloud.toml", "docs", "infra", "model", "monitoring", "ownership.toml", "pipelines",
    "pyproject.toml", "releases", "uv.lock",
)  # fmt: skip
"""What of the repository a checkout for the engine has."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
HOME = tomllib.loads((ROOT / "cloud.toml").read_text())["region"]
"""The region of the bootstrap."""


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder of the engine's programs; built on the first run, which takes minutes."""
    if not shutil.which("go") and not all(one.file.exists() for one in (CLI, KIND)):
        pytest.skip("Go is not on the path, and builds the engine")
    return build(CLI, KIND)


def check_out(folder: Path) -> Path:
    """Copy the repository's files into a folder, as a commit of their own."""
    folder.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-z", *PARTS], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    shutil.copy2(ROOT / ".gitignore", folder)
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    """Commit all that a checkout has."""
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "--allow-empty", "-m", "All"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


class SageMaker(ThreadingHTTPServer):
    """Answers which configuration the endpoints of a test's cloud have, unless the test says another."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.cloud, self.rolled_back_to = Path(), ""


class Answer(BaseHTTPRequestHandler):
    """One answer of SageMaker."""

    server: SageMaker

    def do_POST(self) -> None:
        """Answer DescribeEndpoint, as https://docs.aws.amazon.com/sagemaker/latest/APIReference describes it."""
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["EndpointName"]
        file = self.server.cloud / f"sagemaker_endpoint_Endpoint@{wanted}.json"
        if file.exists():
            has = json.loads(file.read_text())["inputs"]["endpointConfigName"]
            code, told = 200, {"EndpointName": wanted, "EndpointConfigName": self.server.rolled_back_to or has}
        else:
            code, told = 400, {"__type": "ValidationException", "message": f"Could not find endpoint {wanted!r}"}
        self.send_response(code)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def sagemaker() -> Iterator[SageMaker]:
    """A stand-in for SageMaker over the cloud of the engine that was started last."""
    with SageMaker() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def start(built, sagemaker) -> Callable[[Path], Engine]:
    """Start an engine in a folder that holds a checkout."""

    def started(folder: Path) -> Engine:
        environ = {
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_SAGEMAKER": f"http://127.0.0.1:{sagemaker.server_port}",
            "AWS_MAX_ATTEMPTS": "1",
            "PYTHONPATH": str(folder / "checkout"),  # before the repository, which is installed into this Python
            "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"),
        }
        engine = Engine(built, folder, folder / "checkout", environ)
        sagemaker.cloud, sagemaker.rolled_back_to = engine.cloud, ""
        return engine

    return started


@pytest.fixture
def engine(start, tmp_path) -> Engine:
    """The engine with an empty backend and an empty cloud."""
    check_out(tmp_path / "checkout")
    return start(tmp_path)


def add_stack(engine: Engine, name: str, letter: str = "a") -> None:
    """Make the stack of an environment, with its account and an image, as docs/aws.md does."""
    engine.pulumi("stack", "init", name)
    engine.pulumi("config", "set", "account", ACCOUNT, "--stack", name)
    if letter:
        engine.pulumi("config", "set", "image", image(letter, project=PROJECT), "--stack", name)
    commit(engine.checkout)


@pytest.fixture(scope="session")
def environments(start, tmp_path_factory) -> Callable[[str], Path]:
    """Bring an environment up once for all tests, and return the folder that holds it."""

    @cache
    def folder(name: str) -> Path:
        made = tmp_path_factory.mktemp(name)
        check_out(made / "checkout")
        engine = start(made)
        add_stack(engine, name)
        engine.up(name, "--policy-pack", "policies")
        return made

    return folder


@pytest.fixture
def environment(environments, start, tmp_path) -> Callable[[str], Engine]:
    """Return an engine of the test's own, that has brought an environment up."""

    def copied(name: str) -> Engine:
        shutil.copytree(environments(name), tmp_path, dirs_exist_ok=True, symlinks=True)
        return start(tmp_path)

    return copied


@pytest.fixture
def home() -> Iterator[str]:
    """The URL of an emulator with the bucket and the key of a bootstrap, which Pulumi's backend and secrets ask itself."""
    with running_emulator() as url:
        session = boto3.Session("test", "test", region_name=HOME)
        place = {} if HOME == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": HOME}}
        session.client("s3", endpoint_url=url).create_bucket(Bucket=f"{PROJECT}-state-{ACCOUNT}", **place)
        kms = session.client("kms", endpoint_url=url)
        kms.create_alias(AliasName=f"alias/{PROJECT}-state", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        yield url


def logged_in(engine: Engine, home: str) -> Engine:
    """Return the engine as whoever logs in uses it: its state lies where the last login says, AWS is an emulator."""
    place = {"LOCAL_STATE": engine.variables["PULUMI_BACKEND_URL"], "PULUMI_BACKEND_URL": ""}
    return replace(engine, environ={**engine.environ, **place, "AWS_ENDPOINT_URL": home})
