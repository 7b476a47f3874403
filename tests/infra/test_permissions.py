"""What each role may and must not do: checked by a linter of policies, and by asking an evaluator of them."""

import json
import warnings

import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult

from infra.aws.components.cost import stop_policy
from infra.aws.permissions import trust
from pipelines.contracts import Stack
from tests.infra.environments import ACCOUNT, REGION, STACKS, changed, document, environment, of, one

pytestmark = pytest.mark.infra

STORE, LAKE = f"arn:aws:s3:::thing-dev-store-{ACCOUNT}", f"arn:aws:s3:::thing-dev-lake-{ACCOUNT}"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/thing-dev-online"
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/thing-dev"
TICK = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:thing-dev-tick"
PIPELINE = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/thing-dev-training"
JOB = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/pipelines-abc-train-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/thing-dev-"

CASES = [
    # role, action, resource, whether it may
    ("jobs", "s3:PutObject", f"{STORE}/models/ab/model.onnx", True),
    ("jobs", "s3:PutObject", f"{LAKE}/tables/raw/flights/data/1.parquet", True),
    ("jobs", "s3:PutObject", f"{STORE}/releases/dev/000001.json", False),
    ("jobs", "s3:PutObject", f"{STORE}/stack.json", False),
    ("jobs", "s3:DeleteObject", f"{STORE}/models/ab/model.onnx", False),
    ("jobs", "s3:GetObject", f"arn:aws:s3:::thing-prod-store-{ACCOUNT}/models/ab/model.onnx", False),
    ("jobs", "s3:GetObject", f"arn:aws:s3:::other-dev-store-{ACCOUNT}/models/ab/model.onnx", False),
    ("jobs", "glue:UpdateTable", f"arn:aws:glue:{REGION}:{ACCOUNT}:table/thing_dev_raw/flights", True),
    ("jobs", "glue:UpdateTable", f"arn:aws:glue:{REGION}:{ACCOUNT}:table/thing_prod_raw/flights", False),
    ("jobs", "dynamodb:PutItem", TABLE, True),
    ("jobs", "dynamodb:DeleteTable", TABLE, False),
    ("jobs", "events:PutEvents", BUS, True),
    ("jobs", "sagemaker:CreateTrainingJob", JOB, True),
    (
        "jobs",
        "sagemaker:CreateHyperParameterTuningJob",
        JOB.replace("training-job/pipelines", "hyper-parameter-tuning-job/thing-dev"),
        True,
    ),
    (
        "jobs",
        "sagemaker:CreateHyperParameterTuningJob",
        JOB.replace("training-job/pipelines", "hyper-parameter-tuning-job/thing-prod"),
        False,
    ),
    ("jobs", "sagemaker:UpdateEndpoint", f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/thing-dev", False),
    ("jobs", "iam:PassRole", f"{ROLE}jobs", True),
    ("jobs", "iam:PassRole", f"{ROLE}tick", False),
    ("jobs", "iam:AttachRolePolicy", f"{ROLE}jobs", False),
    ("jobs", "kms:GetPublicKey", "signer", True),
    ("jobs", "kms:Sign", "signer", False),
    ("jobs", "sts:AssumeRole", f"{ROLE}tick", False),
    ("serving", "s3:GetObject", f"{STORE}/models/ab/model.onnx", True),
    ("serving", "s3:GetObject", f"{STORE}/releases/dev/000001.json", True),
    ("serving", "s3:GetObject", f"{LAKE}/tables/raw/flights/data/1.parquet", False),
    ("serving", "s3:PutObject", f"{STORE}/predictions/2026/1.parquet", True),
    ("serving", "s3:PutObject", f"{STORE}/serving/prod/0000.json", True),
    ("serving", "s3:PutObject", f"{STORE}/models/ab/model.onnx", False),
    ("serving", "dynamodb:BatchGetItem", TABLE, True),
    ("serving", "dynamodb:PutItem", TABLE, False),
    (
        "serving",
        "cloudwatch:DescribeAlarms",
        f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:thing-dev-endpoint-errors",
        True,
    ),
    (
        "serving",
        "cloudwatch:DescribeAlarms",
        f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:thing-prod-endpoint-errors",
        False,
    ),
    ("serving", "kms:Verify", "signer", True),
    ("serving", "kms:Sign", "signer", False),
    ("tick", "kms:Sign", "signer", True),
    ("tick", "s3:PutObject", f"{STORE}/releases/dev/000002.json", True),
    ("tick", "s3:PutObject", f"{STORE}/serving/dev.questions.json", True),
    ("tick", "s3:PutObject", f"{STORE}/models/ab/model.onnx", False),
    ("tick", "s3:PutObjectRetention", f"{STORE}/releases/dev/000002.json", True),
    ("tick", "s3:BypassGovernanceRetention", f"{STORE}/releases/dev/000002.json", False),
    ("tick", "sagemaker:StartPipelineExecution", PIPELINE, True),
    ("scheduler", "sagemaker:StartPipelineExecution", PIPELINE, True),
    ("scheduler", "sagemaker:StartPipelineExecution", PIPELINE.replace("thing-dev", "thing-prod"), False),
    ("scheduler", "lambda:InvokeFunction", TICK, True),
    ("scheduler", "lambda:UpdateFunctionCode", TICK, False),
    ("scheduler", "s3:GetObject", f"{STORE}/models/ab/model.onnx", False),
    ("mlflow", "s3:PutObject", f"{STORE}/mlflow/1/artifacts/card.md", True),
    ("mlflow", "s3:GetObject", f"{STORE}/models/ab/model.onnx", False),
    ("budget", "iam:AttachRolePolicy", f"{ROLE}jobs", True),
    ("budget", "iam:AttachRolePolicy", f"{ROLE}tick", False),
]


def documents(resources):
    """Return every policy of IAM that an environment registers, by role or name."""
    policies = [each for kind in ("RolePolicy", "Policy") for each in of(resources, kind) if ":iam/" in f":{each.type}"]
    return {each.name: each.props["policy"] for each in policies if each.type.startswith("aws:iam/")}


def allowed(policies, action, resource):
    """Say whether policies allow something; conditions are taken to hold, which the linter alone looks at."""
    answers = [IAMPolicy({"policy_document": text}).is_action_permitted(action, resource) for text in policies]
    return PermissionResult.PERMITTED in answers and PermissionResult.DENIED not in answers


def resource(named):
    if named != "signer":
        return named
    (statement,) = [
        s for s in json.loads(documents(environment("dev"))["tick"])["Statement"] if "kms:Sign" in s["Action"]
    ]
    return statement["Resource"][0]


@pytest.mark.parametrize(("role", "action", "target", "may"), CASES)
def test_a_role_may_do_what_it_needs_and_nothing_else(role, action, target, may):
    assert allowed([documents(environment("dev"))[role]], action, resource(target)) == may


TRAINS = f"arn:aws:iam::{ACCOUNT}:role/thing-dev-jobs"
LENT = {"environment": "prod", "role": f"arn:aws:iam::{ACCOUNT}:role/thing-prod-reader"}
PROD_LAKE, PROD_STORE = LAKE.replace("dev", "prod"), STORE.replace("dev", "prod")
READER = [
    ("s3:GetObject", f"{PROD_LAKE}/tables/raw/flights/data/1.parquet", True),
    ("glue:GetTable", f"arn:aws:glue:{REGION}:{ACCOUNT}:table/thing_prod_raw/flights", True),
    ("s3:GetObject", f"{PROD_STORE}/stack.json", True),
    ("s3:PutObject", f"{PROD_LAKE}/tables/raw/flights/data/1.parquet", False),
    ("s3:DeleteObject", f"{PROD_LAKE}/tables/raw/flights/data/1.parquet", False),
    ("s3:GetObject", f"{PROD_LAKE}/tables/features/weather/data/1.parquet", False),
    ("s3:GetObject", f"{PROD_LAKE}/queries/1.parquet", False),
    ("s3:GetObject", f"{PROD_STORE}/models/ab/model.onnx", False),
    ("s3:GetObject", f"{PROD_STORE}/predictions/prod/1.parquet", False),
    ("s3:GetObject", f"{PROD_STORE}/releases/prod/000001.json", False),
    ("glue:UpdateTable", f"arn:aws:glue:{REGION}:{ACCOUNT}:table/thing_prod_raw/flights", False),
    ("glue:GetTable", f"arn:aws:glue:{REGION}:{ACCOUNT}:table/thing_prod_features/weather", False),
    ("kms:GenerateDataKey", "*", False),
    ("kms:Sign", "*", False),
    ("sagemaker:StartPipelineExecution", PIPELINE.replace("dev", "prod"), False),
    ("sts:AssumeRole", f"{ROLE}jobs", False),
]


@pytest.fixture(scope="module")
def lending():
    return changed("prod", readers=[TRAINS])


@pytest.mark.parametrize(("action", "target", "may"), READER)
def test_training_on_production_may_read_its_raw_tables_alone(lending, action, target, may):
    assert allowed([documents(lending)["reader"]], action, target) == may


def test_only_named_roles_and_no_service_assume_the_production_reader(lending):
    role = one(lending, "Role", "reader").props
    (statement,) = json.loads(role["assumeRolePolicy"])["Statement"]
    assert statement["Principal"] == {"AWS": [TRAINS]}
    assert role["permissionsBoundary"].endswith("policy/thing-boundary-prod")
    assert [one for one in findings(documents(lending)["reader"]) if not _accepted(one)] == []


def test_without_readers_there_is_no_such_role():
    assert "reader" not in documents(environment("prod"))


def test_the_jobs_of_the_environment_that_trains_may_take_that_role_alone():
    training = changed("dev", adopt={"data": LENT})
    jobs = documents(training)["jobs"]
    assert allowed([jobs], "sts:AssumeRole", LENT["role"])
    assert not allowed([jobs], "sts:AssumeRole", LENT["role"].replace("reader", "jobs"))
    assert Stack.from_json(document(training)).lent.model_dump() == LENT
    assert not allowed([documents(environment("dev"))["jobs"]], "sts:AssumeRole", LENT["role"])


APP = {
    "app": "Iv1.abc",
    "installation": 7,
    "repository": "team/fleet",
    "key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/app",
}


def test_the_github_app_function_may_sign_with_its_key_and_little_else():
    made = changed("dev", dispatch=APP)
    (rule,) = [each for each in of(made, "EventRule") if each.name == "dispatch"]
    assert json.loads(rule.props["eventPattern"]) == {"source": ["thing"], "detail-type": ["trigger"]}
    function = one(made, "Function", "dispatch").props
    assert function["imageConfig"]["commands"] == ["pipelines.entrypoints.dispatch.handler"] and not function.get(
        "vpcConfig"
    )
    assert Stack.from_json(document(made)).dispatch.key == APP["key"]
    may = documents(made)["dispatch"]
    assert allowed([may], "kms:Sign", APP["key"]) and allowed([may], "s3:GetObject", f"{STORE}/stack.json")
    assert not allowed([may], "s3:GetObject", f"{STORE}/models/ab/model.onnx")
    assert not allowed([may], "kms:Sign", resource("signer"))
    assert not allowed([may], "sagemaker:StartPipelineExecution", PIPELINE)
    (dead,) = [each.props["policy"] for each in of(made, "QueuePolicy") if each.name == "dead"]
    assert "rule/thing-dev/thing-dev-dispatch" in dead and "rule/thing-dev-searched" in dead


def test_without_an_app_there_is_no_such_function():
    assert [each.name for each in of(environment("dev"), "Function")] == ["tick"]


def test_each_role_with_a_policy_of_its_own_is_asked():
    assert {case[0] for case in CASES} == documents(environment("dev")).keys() - {"stop"}


@pytest.mark.parametrize("action", ["sagemaker:CreateTrainingJob", "sagemaker:StartPipelineExecution"])
def test_a_spent_budget_denies_what_was_allowed(action):
    own = documents(environment("dev"))["jobs"]
    target = JOB if "Job" in action else PIPELINE
    assert allowed([own], action, target)
    assert not allowed([own, json.dumps(stop_policy())], action, target)
    assert allowed([own, json.dumps(stop_policy())], "s3:PutObject", f"{STORE}/models/ab/model.onnx")


def findings(text):
    """Return what a linter of policies says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its import: an unclosed file, and pkg_resources
        import parliament
    return parliament.analyze_policy_string(text).findings


UNKNOWN = ("sagemaker:CallMlflowAppApi",)  # newer than the linter's list


@pytest.mark.parametrize("stack", STACKS)
def test_a_linter_finds_nothing(stack):
    for name, text in documents(environment(stack)).items():
        found = findings(text)
        assert [one for one in found if not _accepted(one)] == [], name


def _accepted(finding):
    said = f"{finding.issue} {finding.detail} {finding.location}"
    return any(action in said for action in UNKNOWN)


def test_the_linter_does_find_a_mistake():
    wrong = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObjct", "Resource": "*"}]}
    )
    assert findings(wrong)


@pytest.mark.parametrize("stack", STACKS)
def test_trust_is_byte_for_byte_one_service_of_this_account(stack):
    services = {
        "jobs": "sagemaker", "serving": "sagemaker", "mlflow": "sagemaker", "tick": "lambda",
        "scheduler": "scheduler", "budget": "budgets", "backup": "backup",
    }  # fmt: skip
    for role in of(environment(stack), "Role"):
        service = services[role.name]
        assert role.props["assumeRolePolicy"] == (
            '{"Statement": [{"Action": "sts:AssumeRole", "Condition": {"StringEquals": {"aws:SourceAccount": '
            f'"{ACCOUNT}"}}}}, "Effect": "Allow", "Principal": {{"Service": "{service}.amazonaws.com"}}}}], '
            '"Version": "2012-10-17"}'
        )
        assert role.props["permissionsBoundary"] == f"arn:aws:iam::{ACCOUNT}:policy/thing-boundary-{stack}"
        assert role.props["name"] == f"thing-{stack}-{role.name}"


def test_a_policy_of_a_role_is_within_what_iam_takes():
    for stack in STACKS:
        assert all(len("".join(text.split())) <= 10_240 for text in documents(environment(stack)).values())


def test_trust_names_the_account():
    assert json.loads(trust("x.amazonaws.com", "1"))["Statement"][0]["Condition"]["StringEquals"] == {
        "aws:SourceAccount": "1"
    }
