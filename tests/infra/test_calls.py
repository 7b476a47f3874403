"""Each role may make the calls that its work makes, within its boundary, and little that nothing makes.

The work of each role is done on the emulator, under the names of an environment whose audit records are locked.
What botocore was asked meanwhile is put to the simulator of IAM: action, resource and what AWS knows about the request,
such as a header that locks an object. Iceberg's files are read and written by pyarrow, whose requests are added by hand.
"""

import json
from datetime import timedelta

import boto3
import pytest
from prometheus_client import CollectorRegistry, Counter

from infra.aws.permissions import Permissions
from infra.names import Names
from pipelines.bootstrap import pipeline
from pipelines.config import CanaryStrategy, Variant
from pipelines.contracts import Stack, keys
from pipelines.contracts.rendered import filled
from pipelines.contracts.stack import Compute, FeatureStore, Store
from pipelines.deployment import DeploymentParams
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, roll_back
from pipelines.entrypoints.lambda_handler import _platform, handler
from pipelines.feature import FeatureParams
from pipelines.monitor import MonitorParams
from pipelines.orchestration.catalog import PIPELINES
from pipelines.orchestration.executions import ComputeRequest
from pipelines.serving.instances import Announcer, Standing
from pipelines.serving.service import PredictionService
from pipelines.storage.prediction_log import LogWriter
from pipelines.training import TrainingParams
from tests.aws.calls import recording
from tests.aws.permissions import Asked, asked
from tests.cloud.emulator import VARIABLES
from tests.cloud.provision import making
from tests.cloud.test_loop import SINCE_STRIKE
from tests.conftest import HISTORY, NOW, learn, make_platform, release
from tests.infra.bootstrap_mocks import ACCOUNT, PEOPLE, document_of, documents_of, program
from tests.infra.test_bootstrap_roles import ask, simulator, wrong  # noqa: F401  (a fixture)
from tests.problems import parcels
from tests.unit.contracts.test_rendered import PLACES, RENDERED

pytestmark = pytest.mark.roles

NAMES = Names("fleet", "dev", ACCOUNT, "eu-west-1")
DAY = timedelta(days=1)
LOCKED = f"arn:aws:s3:::{NAMES.bucket('store')}/{keys.RELEASES}dev/000009.json"


def environment(made):
    """Make what the stack of an environment makes, by its names, and its document."""
    key = made.encryption_key()
    bus, _, url = made.events(NAMES.prefix)
    made.client("events").put_rule(Name=bus, EventBusName=bus, EventPattern=json.dumps({"source": [NAMES.project]}))
    stack = Stack(
        project=NAMES.project,
        environment=NAMES.environment,
        region=NAMES.region,
        account=ACCOUNT,
        endpoint_url=made.endpoint_url,
        store=Store(
            bucket=made.bucket(key, locked=True, name=NAMES.bucket("store")),
            lake=made.bucket(key, name=NAMES.bucket("lake")),
            key=key,
            locked_days=1,
        ),
        features=FeatureStore(catalog=NAMES.catalog, workgroup=NAMES.prefix, online=made.table(NAMES.of("online"))),
        compute=Compute(image=None, role=NAMES.role_arn("jobs")),
        signer=made.audit_key(),
        queue=url.replace(f"/{NAMES.prefix}", f"/{NAMES.of('events')}"),
        bus=bus,
        metrics=NAMES.metrics,
        alarms=NAMES.arn("sns", NAMES.of("alarms")),
    )
    made.client("sqs").create_queue(QueueName=NAMES.of("events"))
    made.publish(stack)
    for name in PIPELINES:
        made.client("sagemaker").create_pipeline(
            PipelineName=NAMES.of(name.replace("_", "-")),
            PipelineDefinition=json.dumps(filled(RENDERED.pipelines[name].definition, PLACES)),
            RoleArn=stack.compute.role,
            ClientRequestToken="t" * 32,
        )
    return stack


@pytest.fixture(scope="module")
def work(emulator_url, tmp_path_factory):
    """Do the work of each role, and return the environment and the calls by role."""
    home = tmp_path_factory.mktemp("roles")
    given = {"profile": "aws", "project": NAMES.project, "environment": NAMES.environment, "attempts": 3}
    with pytest.MonkeyPatch.context() as patch, making(boto3.Session(region_name=NAMES.region), emulator_url) as made:
        for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": emulator_url}.items():
            patch.setenv(name, value)
        stack, calls = environment(made), {}

        def by(role, do):
            platform = make_platform(home / role, **given)
            with recording() as recorded:
                done = do(platform)
            calls[role] = recorded.calls
            return done

        by("data-scientist", starts_a_run)
        candidates = by("jobs", learns)
        by("deploy-dev", lambda platform: delivers(platform, *candidates))
        by("serving", answers)
        by("jobs-later", monitors)
        by("tick", lambda platform: ticks(platform, patch))
        by("again", lambda platform: by_canary(platform, candidates[1]))  # the tick has concluded the first
        by("engineer", takes_back)
        yield stack, {**calls, "jobs": calls.pop("jobs") + calls.pop("jobs-later")}


def starts_a_run(platform):
    feature = pipeline("feature")
    platform.runner.start(feature, FeatureParams(start=HISTORY, end=HISTORY + DAY), "days")
    platform.aws.executions.start(feature, "days", ComputeRequest())
    platform.aws.executions.outcome(platform.runner, feature, "days")


def learns(platform):
    first = learn(platform)
    return first, platform.run("training", TrainingParams(as_of=NOW - 3 * DAY, reason="test"), "second")


def delivers(platform, first, second):
    release(platform, first)
    by_canary(platform, second)


def by_canary(platform, second):
    at, canary = Actor("tester", NOW), CanaryStrategy(steps=(0.5,), bake=DAY)
    challenger = Variant(model=second.model, version=second.version)
    file = propose_model(platform.models, platform.releases.state(), challenger, canary, "a test of the canary")
    propose(platform.release_target, at, file)
    approve(platform.release_target, at, file)
    platform.run("deployment", DeploymentParams(release=file, as_of=NOW, who="tester"))


def answers(platform):
    writer = LogWriter(platform.objects, NAMES.environment, 60, 10**6)
    parts = platform.problem, platform.online, platform.models, platform.releases, writer, platform.settings
    service = PredictionService(*parts)
    service.refresh()
    rows = parcels.read("parcels", NOW, NOW + DAY).drop_columns(["recipient"]).to_pylist()
    instances = [{**row, "asked_at": row["asked_at"].isoformat()} for row in rows]
    service.predict(json.dumps({"instances": instances}).encode())
    service.close()
    announcer = Announcer(platform.objects, NAMES.environment, "instance")
    announcer.answer(lambda _: "")
    announcer.say(Standing())
    announcer.say(Standing(), stopped=True)
    registry = CollectorRegistry()
    Counter("asked", "requests", registry=registry).inc()
    platform.profile.push_metrics(registry)()


def monitors(platform):
    platform.run("feature", FeatureParams(start=parcels.STRIKE, end=SINCE_STRIKE), "labels")
    platform.run("monitor", MonitorParams(as_of=SINCE_STRIKE))


def ticks(platform, patch):
    for name, value in platform.settings.variables().items():
        patch.setenv(name, value)
    _platform.cache_clear()
    try:
        handler({}, None)
        handler({"run": "feature", "set": ["start=2024-01-01", "end=2024-01-02"], "run_id": "ticked"}, None)
    finally:
        _platform.cache_clear()


def takes_back(platform):
    roll_back(platform.release_target, Actor("engineer", SINCE_STRIKE + DAY), "wrong prices")


@pytest.fixture(scope="module")
def registered(run_program):
    return run_program(program(roles=PEOPLE))


def policies(registered, stack, role):
    """Return what a role may, and its boundary."""
    if role in {"jobs", "serving", "tick"}:
        may = Permissions(NAMES, stack.store.key, stack.signer)
        return [{"Version": "2012-10-17", "Statement": getattr(may, role)()}], document_of(
            registered, "fleet-boundary-dev"
        )
    return documents_of(registered, f"fleet-{role}"), None


def by_pyarrow(role):
    """Return what pyarrow asks of S3 to read and write Iceberg's files, which botocore does not see."""
    lake = f"arn:aws:s3:::{NAMES.bucket('lake')}"
    file = f"{lake}/{keys.TABLES}raw/parcels/data/1.parquet"
    read = [("s3:GetObject", file), ("s3:ListBucket", lake)]
    write = [("s3:PutObject", file), ("s3:AbortMultipartUpload", file), ("s3:DeleteObject", file)]
    return [Asked(*one, {}) for one in {"jobs": read + write, "tick": read}.get(role, [])]


def questions(stack, calls, role):
    """Return what policies are asked for the calls of a role, each once."""
    found = [one for call in calls[role] for one in asked(call, NAMES, stack.store.key)] + by_pyarrow(role)
    return [Asked(*one) for one in {(one.action, one.resource, json.dumps(one.context)): one for one in found}.values()]


ROLES = ("jobs", "serving", "tick", "deploy-dev", "engineer", "data-scientist")
LEAST = {"jobs": 200, "serving": 25, "tick": 30, "deploy-dev": 50, "engineer": 12, "data-scientist": 10}
"""How many different questions the work of each role asks at least: less, and the work was not done."""


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_make_each_call_that_its_work_makes(role, work, registered, simulator):  # noqa: F811
    stack, calls = work
    cases = questions(stack, calls, role)
    assert wrong(ask(simulator, cases, *policies(registered, stack, role)), may=True) == []
    assert len(cases) >= LEAST[role]


def test_who_writes_the_release_log_is_asked_whether_it_may_lock(work):
    stack, calls = work
    locking = {
        role: {one.resource for one in questions(stack, calls, role) if one.action == "s3:PutObjectRetention"}
        for role in ROLES
    }
    assert {role for role, records in locking.items() if records} == {"tick", "deploy-dev", "engineer"}
    assert all(f"/{keys.RELEASES}" in record for records in locking.values() for record in records)


# Statements without which work is denied, by role: what the check must find.
PLANTED = [
    ("jobs", "s3:PutObject"), ("jobs", "dynamodb:PutItem"), ("jobs", "glue:UpdateTable"), ("jobs", "kms:GenerateDataKey"),
    ("serving", "dynamodb:BatchGetItem"), ("serving", "cloudwatch:PutMetricData"), ("serving", "kms:GetPublicKey"),
    ("tick", "s3:PutObjectRetention"), ("tick", "kms:Sign"), ("tick", "sagemaker:StartPipelineExecution"),
]  # fmt: skip


@pytest.mark.parametrize(("role", "taken"), PLANTED)
def test_a_planted_denial_is_found(role, taken, work, registered, simulator):  # noqa: F811
    stack, calls = work
    (may,), boundary = policies(registered, stack, role)
    less = [{**one, "Action": [action for action in one["Action"] if action != taken]} for one in may["Statement"]]
    left = {**may, "Statement": [one for one in less if one["Action"]]}
    denied = wrong(ask(simulator, questions(stack, calls, role), [left], boundary), may=True)
    assert denied and {action for action, *_ in denied} == {taken}
