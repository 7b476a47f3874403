"""The settings of this process: the one place that reads the environment."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import AwareDatetime, Field, ValidationError

from pipelines.config import StrictModel, UserError, WrongUsage, nearest
from pipelines.config.strict import explain

PREFIX = "RATCHET_"
SAGEMAKER_JOB = Path("/opt/ml/input/config/resourceconfig.json")


class Settings(StrictModel):
    """Where things are and how the serving app behaves; each field is the variable ``RATCHET_<FIELD>``.

    Attributes:
        home: the folder of the embedded profile: tables, models, releases, logs.
        releases: the folder of the release files that people review.
        environment: the environment that commands act on.
        profile: embedded keeps everything below ``home``; aws uses what the environment's stack provisioned;
            kubernetes keeps the same on an emulator of AWS, and computes in a cluster.
        commit: of the code that an image was made from; None is the checkout's own.
        project: the name of that stack; None is the name in pyproject.toml.
        attempts: how often a request to AWS is tried: 18 outlast a minute; the serving app, which may not make
            its callers wait, tries three times.
        join: the engine of the point-in-time join: duckdb on this machine, or athena for more than fits its memory.
        problem: the importable package that states the problem.
        checkpoints: the folder of checkpoints, such as a volume that outlives a spot instance; within home by default.
        poll_seconds: how often the serving app looks for a new release.
        flush_seconds: how long a prediction may wait in memory before it is written to the log.
        flush_rows: how many predictions may.
        spill: a folder on another disk, or in memory, for predictions that the store did not take before the serving
            app stopped; the app writes them into the log when it starts with the same folder.
        callers: the file of who may ask the serving app, which ``mlops token`` writes; without it anyone may who
            reaches the app.
        freezes: whether the platform may freeze the serving app between requests, as serverless inference does: then it
            looks for a new release before an answer, and writes the log before it too.
        max_body_bytes: the largest body that /invocations reads; a larger one is answered with 413.
        max_rows: the most rows in one body; more are answered with 413.
        max_concurrency: how many requests, whose bodies have arrived, one process of the app handles at once; more are
            answered with 429. What has arrived of the bodies of all is at most this times max_body_bytes.
        max_connections: how many connections one process of the app has at once; more wait to be accepted.
        max_connections_per_peer: how many of them come from one address; more are closed.
        max_explained_rows: the most rows of one request that are explained; more are answered with 413.
        log_sample: the share of predictions that is logged; while a challenger takes traffic, all are.
        num_nodes: how many machines train one network together.
        master_addr: the host name of the node of rank 0, at which the others meet.
        clock: whose time answers are logged by and windows of monitors and canary analysis are: the server's, or for
            replays of the past that of the requests.
        ready_without_release: whether the serving app is ready while nothing was ever released to its environment.
        confirm_seconds: how long a command that moves a release waits for the instances of the serving app: before it
            to say that they can serve the model, afterwards that they do. 0 asks nobody.
        as_of: the moment that commands act at, for replays of the past; None is the clock's.
        deadline_seconds: how long a body may take to arrive (408), and a request to wait for its turn (503).
    """

    home: Path = Path(".ratchet")
    releases: Path = Path("releases")
    environment: str = Field(default="dev", pattern=r"^[a-z][a-z0-9-]*$")
    profile: Literal["embedded", "aws", "kubernetes"] = "embedded"
    project: str | None = None
    commit: str | None = None
    join: Literal["duckdb", "athena"] = "duckdb"
    attempts: int = Field(default=18, gt=0)
    problem: str = "model"
    checkpoints: Path | None = None
    poll_seconds: float = Field(default=1.0, gt=0)
    flush_seconds: float = Field(default=1.0, gt=0)
    flush_rows: int = Field(default=5000, gt=0)
    spill: Path | None = None
    callers: Path | None = None
    freezes: bool = False
    max_body_bytes: int = Field(default=4 * 2**20, gt=0)
    max_rows: int = Field(default=10_000, gt=0)
    max_concurrency: int = Field(default=128, gt=0)
    max_connections: int = Field(default=1024, gt=0)
    max_connections_per_peer: int = Field(default=512, gt=0)
    max_explained_rows: int = Field(default=20, gt=0)
    log_sample: float = Field(default=1.0, ge=0, le=1)
    num_nodes: int = Field(default=1, gt=0)
    master_addr: str = "localhost"
    clock: Literal["server", "requests"] = "server"
    ready_without_release: bool = True
    confirm_seconds: float = Field(default=15.0, ge=0)
    as_of: AwareDatetime | None = None
    deadline_seconds: float = Field(default=10.0, gt=0)

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from environment variables.

        Raises:
            UserError: for a variable with the prefix that is no setting, or a value that does not fit.
        """
        given = {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
        for name in given.keys() - cls.model_fields.keys():
            raise UserError(f"{PREFIX}{name.upper()} is no setting; {nearest(name, cls.model_fields)}")
        try:
            return cls.model_validate_strings(given)
        except ValueError as error:
            raise UserError(f"a {PREFIX}* variable does not fit: {error}") from error

    def changed(self, given: Mapping[str, object]) -> Self:
        """Return the settings with other values for some; errors as :meth:`read`."""
        try:
            return self.model_validate({**dict(self), **given})
        except ValidationError as error:
            raise WrongUsage("\n".join(f"--{line}" for line in explain(error, type(self)))) from error

    def now(self) -> datetime:
        """Return the moment that commands act at."""
        return self.as_of or datetime.now(UTC)

    def variables(self) -> dict[str, str]:
        """Return the environment variables that give another process these settings."""
        return {f"{PREFIX}{name.upper()}": str(value) for name, value in self if value is not None}


class Workflow(NamedTuple):
    """The variables that GitHub gives the jobs of a workflow, and that a person's shell may set.

    Attributes:
        api: the URL of GitHub's API.
        token: the job's own, or a person's.
        repository: as in ``acme/parcels``.
        output: the file that takes a step's outputs, where there is one.
    """

    api: str
    token: str
    repository: str
    output: Path | None


def workflow(environ: Mapping[str, str] = os.environ) -> Workflow:
    """Return the GitHub variables of this process.

    Raises:
        UserError: without a token or a repository.
    """
    if missing := [name for name in ("GITHUB_TOKEN", "GITHUB_REPOSITORY") if not environ.get(name)]:
        raise UserError(f"{' and '.join(missing)} must be set: a token such as that of 'gh auth token', and OWNER/NAME")
    return Workflow(
        api=environ.get("GITHUB_API_URL") or "https://api.github.com",
        token=environ["GITHUB_TOKEN"],
        repository=environ["GITHUB_REPOSITORY"],
        output=step_output(environ),
    )


def is_hosted_runner(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is a job on a runner of GitHub's, whose disk is gone after it.

    https://docs.github.com/en/actions/reference/workflows-and-actions/variables#default-environment-variables
    """
    return environ.get("RUNNER_ENVIRONMENT") == "github-hosted"


def step_output(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file that takes the outputs of a workflow's step, within one."""
    given = environ.get("GITHUB_OUTPUT")
    return Path(given) if given else None


def step_summary(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file that takes the summary of a workflow's run, within one."""
    given = environ.get("GITHUB_STEP_SUMMARY")
    return Path(given) if given else None


class Node(NamedTuple):
    """This machine's place among the nodes that train together, and the network interface they use."""

    num_nodes: int
    node_rank: int
    master_addr: str
    interface: str | None = None


def node(settings: Settings, environ: Mapping[str, str] = os.environ, job: Path = SAGEMAKER_JOB) -> Node:
    """Return which node this machine is.

    A SageMaker training job writes its hosts into a file of every container; a pod of a Kubernetes Indexed Job has
    its number in ``JOB_COMPLETION_INDEX``, and the Job's manifest the settings ``num_nodes`` and ``master_addr``.
    """
    if job.exists():
        document = json.loads(job.read_text())
        hosts = sorted(document["hosts"], key=lambda host: int(host.rpartition("-")[2]))
        interface = document.get("network_interface_name")
        return Node(len(hosts), hosts.index(document["current_host"]), hosts[0], interface)
    return Node(settings.num_nodes, int(environ.get("JOB_COMPLETION_INDEX", 0)), settings.master_addr)


def rank(environ: Mapping[str, str] = os.environ) -> int | None:
    """Return the number of this process among those that torchrun started, or None when it started none."""
    number = environ.get("RANK") if "TORCHELASTIC_RUN_ID" in environ else None
    return None if number is None else int(number)
