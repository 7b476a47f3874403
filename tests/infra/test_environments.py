"""What the program registers for each environment, with Pulumi's own test monitor in place of its engine."""

import json

import pulumi
import pytest

from infra.names import Names
from infra.tools.recording import record
from pipelines.config import UserError
from pipelines.contracts import Stack
from pipelines.contracts.rendered import filled
from tests.infra.environments import ACCOUNT, REGION, STACKS, changed, document, environment, image, of, one, plan

pytestmark = pytest.mark.infra

WITHIN_ANOTHER = {"aws:iam/rolePolicy:RolePolicy", "aws:appautoscaling/policy:Policy"}  # named within a role, a target
ENDPOINT_PARTS = {"Model", "EndpointConfiguration", "Endpoint"}


@pytest.fixture(params=STACKS)
def resources(request):
    return environment(request.param)


def names(stack):
    return plan(stack).names


def test_everything_is_made_within_one_account_and_in_a_component(resources):
    (provider,) = [each for each in resources if each.type == "pulumi:providers:aws"]
    assert json.loads(provider.props["allowedAccountIds"]) == [ACCOUNT]
    components = {each.urn for each in resources if each.type.startswith("mlops:infra:")}
    assert all(each.provider == provider.props for each in resources if each.custom)
    assert {each.parent for each in resources if each.custom} <= components


@pytest.mark.parametrize("stack", STACKS)
def test_every_name_begins_with_project_and_environment(stack):
    prefix = names(stack).prefix
    begins = (prefix, f"/thing/{stack}/", f"/aws/lambda/{prefix}", f"/aws/sagemaker/Endpoints/{prefix}")
    for each in environment(stack):
        name = each.props.get("name") or each.props.get("bucket") or each.props.get("pipelineName")
        if name and each.custom and each.type not in WITHIN_ANOTHER:
            assert name.replace("_", "-").removeprefix("alias/").startswith(begins), each


@pytest.mark.parametrize("stack", STACKS)
def test_an_app_that_is_frozen_between_requests_is_told(stack):
    (model,) = of(environment(stack), "Model")
    serverless = plan(stack).config.serving.kind == "serverless"
    assert model.props["primaryContainer"]["environment"].get("RATCHET_FREEZES") == ("true" if serverless else None)


@pytest.mark.parametrize("stack", STACKS)
def test_the_document_is_what_the_pipelines_read(stack):
    found = Stack.from_json(document(environment(stack)))
    assert (found.project, found.environment, found.account) == ("thing", stack, ACCOUNT)
    assert found.store.bucket == f"thing-{stack}-store-{ACCOUNT}"
    assert found.compute.image == image() and found.compute.role == f"arn:aws:iam::{ACCOUNT}:role/thing-{stack}-jobs"
    assert bool(found.compute.subnets) == (stack != "dev")
    assert found.endpoint == f"thing-{stack}" and found.mlflow and found.queue != found.operations
    assert (found.store.locked_days > 0) == (stack == "prod")
    parameter = one(environment(stack), "Parameter", "stack")
    assert parameter.props["name"] == f"/thing/{stack}/stack"
    assert parameter.props["value"] == f"s3://{found.store.bucket}/stack.json"


def test_a_second_run_registers_the_same(resources):
    stack = next(each.props["region"] and each for each in resources if each.type.startswith("pulumi:providers")).urn
    again = record(plan(stack.split("::")[0].rpartition(":")[2]))
    assert [(each.urn, each.props) for each in again] == [(each.urn, each.props) for each in resources]


@pytest.mark.parametrize("stack", STACKS)
def test_a_new_image_changes_only_what_runs_it(stack):
    before = {each.urn: each for each in environment(stack)}
    after = {each.urn: each for each in changed(stack, image=image("b"))}
    assert before.keys() == after.keys()
    different = {urn for urn in before if before[urn].props != after[urn].props and before[urn].custom}
    kinds = {before[urn].type.rpartition(":")[2] for urn in different}
    assert kinds == {*ENDPOINT_PARTS, "Function", "Pipeline", "BucketObjectv2"}


def test_what_nothing_else_changes_is_the_endpoint_that_a_person_named():
    before, after = environment("staging"), changed("staging", retention_days=60)
    for kind in ENDPOINT_PARTS:
        assert [each.props for each in of(before, kind)] == [each.props for each in of(after, kind)]


@pytest.mark.parametrize("stack", STACKS)
def test_two_projects_in_one_account_share_no_name(stack):
    ours, theirs = environment(stack), environment(stack, "other")
    keys = ("name", "bucket", "pipelineName", "dashboardName")

    def taken(resources):
        return {
            (each.type, each.props[key])
            for each in resources
            for key in keys
            if key in each.props and each.type not in WITHIN_ANOTHER
        }

    assert len(taken(ours)) > 50 and not taken(ours) & taken(theirs)


def test_before_the_first_image_stores_exist_and_nothing_runs():
    resources = changed("dev", image=None)
    assert not [each for each in resources if each.type.rpartition(":")[2] in {*ENDPOINT_PARTS, "Function", "Pipeline"}]
    assert Stack.from_json(document(resources)).endpoint is None
    assert of(resources, "Bucket") and of(resources, "Table")


def test_dev_costs_nothing_by_the_hour():
    kinds = {each.type for each in environment("dev")}
    assert not [kind for kind in kinds if kind.startswith(("aws:ec2/", "aws:appautoscaling/", "aws:vpc/"))]
    (variant,) = one(environment("dev"), "EndpointConfiguration", "thing-dev-app").props["productionVariants"]
    assert variant["serverlessConfig"] == {"maxConcurrency": 5, "memorySizeInMb": 3072}
    assert "instanceType" not in variant


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_jobs_and_endpoint_are_in_private_subnets_without_a_way_out(stack):
    resources = environment(stack)
    doors = {each.name: each.props["vpcEndpointType"] for each in of(resources, "VpcEndpoint")}
    assert {name for name, kind in doors.items() if kind == "Gateway"} == {"s3", "dynamodb"}
    assert {"sagemaker.api", "ecr.dkr", "sts", "logs"} <= {name for name, kind in doors.items() if kind == "Interface"}
    assert not [each for each in resources if "nternetGateway" in each.type or "natGateway" in each.type]
    assert len(one(resources, "Model", f"thing-{stack}-app").props["vpcConfig"]["subnets"]) == 2
    outward = [each.props.get("cidrIpv4") for each in of(resources, "SecurityGroupEgressRule")]
    assert set(outward) == {None}


@pytest.mark.parametrize(("stack", "routing"), [("staging", "ALL_AT_ONCE"), ("prod", "CANARY")])
def test_an_update_goes_blue_green_and_alarms_take_it_back(stack, routing):
    resources = environment(stack)
    endpoint = one(resources, "Endpoint", "endpoint").props["deploymentConfig"]
    policy = endpoint["blueGreenUpdatePolicy"]["trafficRoutingConfiguration"]
    assert policy["type"] == routing and policy["waitIntervalInSeconds"] >= 300
    named = {each["alarmName"] for each in endpoint["autoRollbackConfiguration"]["alarms"]}
    alarms = {each.props["name"] for each in of(resources, "MetricAlarm")}
    assert named == {f"thing-{stack}-endpoint-{what}" for what in ("errors", "latency", "refused")} <= alarms
    target = one(resources, "Target", "endpoint").props
    assert target["resourceId"] == f"endpoint/thing-{stack}/variant/app"


@pytest.mark.parametrize(
    ("kind", "name", "role"),
    [("Model", None, "serving"), ("Function", "tick", "tick"), ("Pipeline", "training", "jobs")],
)
def test_nothing_gets_a_role_before_the_role_may_do_what_it_must(resources, kind, name, role):
    (it,) = [each for each in of(resources, kind) if name in {each.name, None}]
    assert one(resources, "RolePolicy", role).urn in it.needs


def test_what_is_kept_and_replaced_has_no_name_of_its_own(resources):
    replaced = [each for each in resources if each.retain and each.type.startswith("aws:sagemaker/")]
    assert {each.type.rpartition(":")[2] for each in replaced} == {"Model", "EndpointConfiguration"}
    for each in replaced:
        assert "name" not in each.props and each.name.endswith("-app")


def test_an_update_that_sagemaker_rolled_back_fails_loudly():
    with pytest.raises(
        pulumi.RunError, match=r"serves with thing-dev-old, not with thing-dev-.*rolled the update back"
    ):
        record(plan("dev", live=lambda region, endpoint: f"{endpoint}-old"))


def test_an_update_that_succeeded_is_seen_to_have():
    seen = []
    wanted = one(environment("dev"), "Endpoint", "endpoint").props["endpointConfigName"]

    def live(region, endpoint):
        seen.append((region, endpoint))
        return wanted

    record(plan("dev", live=live))
    assert seen == [(names("dev").region, "thing-dev")]


def test_alarms_call_people_and_those_of_the_endpoint_the_tick_as_well(resources):
    alarms = {each.name: each.props for each in of(resources, "MetricAlarm")}
    assert alarms.keys() >= {
        "endpoint-errors", "endpoint-latency", "endpoint-refused", "tick-errors", "tick-missing", "events-dead", "events-waiting",
        "operations-waiting", "failed-training", "failed-continuous-training", "drift",
    }  # fmt: skip
    for name, props in alarms.items():
        assert props["alarmActions"][0].endswith(":alarms") or ":sns:" in props["alarmActions"][0]
        assert "docs/runbook.md" in props["alarmDescription"]
        assert any(":function:" in action for action in props["alarmActions"]) == name.startswith("endpoint-")
    assert one(resources, "Permission", "alarms").props["principal"] == "lambda.alarms.cloudwatch.amazonaws.com"


def test_only_a_search_of_this_environment_calls_the_function_at_its_end(resources):
    rule = one(resources, "EventRule", "searched").props
    pattern = json.loads(rule["eventPattern"])
    (prefix,) = (each["prefix"] for each in pattern["detail"]["HyperParameterTuningJobName"])
    environment = Stack.from_json(document(resources)).environment
    assert (pattern["source"], prefix) == (["aws.sagemaker"], f"thing-{environment}-")
    assert "Failed" not in pattern["detail"]["HyperParameterTuningJobStatus"]
    target = one(resources, "EventTarget", "searched").props
    assert target["deadLetterConfig"] and target["targetId"] == "function"
    assert one(resources, "Permission", "searched").props["principal"] == "events.amazonaws.com"


def test_pipelines_are_those_that_were_rendered_with_every_place_filled(resources):
    pipeline = one(resources, "Pipeline", "training").props
    text = pipeline["pipelineDefinition"]
    assert "{{" not in text and image() in text
    network = json.loads(text)["Steps"][0]["Arguments"].get("VpcConfig", {})  # SageMaker takes none without subnets
    assert network.get("Subnets", []) == list(Stack.from_json(document(resources)).compute.subnets)
    schedules = {each.name: each.props for each in of(resources, "Schedule")}
    assert schedules.keys() >= {"tick", "continuous_training"} and "training" not in schedules
    assert json.loads(schedules["continuous_training"]["target"]["input"])["PipelineName"].endswith(
        "continuous-training"
    )


@pytest.mark.parametrize("stack", STACKS)
def test_services_may_use_the_key_of_encrypted_queues_for_this_account(stack):
    policy = {
        each["Sid"]: each for each in json.loads(one(environment(stack), "Key", "data").props["policy"])["Statement"]
    }
    assert policy["Services"]["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert "events.amazonaws.com" not in policy["Services"]["Principal"]["Service"]
    assert policy["Events"]["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in policy["Events"]  # EventBridge sends none, and would drop events in silence
    signer = one(environment(stack), "Key", "signer").props
    assert (signer["customerMasterKeySpec"], signer["keyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")


@pytest.mark.parametrize("stack", STACKS)
def test_what_keeps_data_is_encrypted_with_the_environments_key(stack):
    resources = environment(stack)
    key = Stack.from_json(document(resources)).store.key
    assert one(resources, "Table", "online").props["serverSideEncryption"] == {"enabled": True, "kmsKeyArn": key}
    for name in ("store", "lake"):
        (rule,) = one(resources, "BucketServerSideEncryptionConfiguration", name).props["rules"]
        assert rule["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key}
    for name in ("events", "operations", "dead"):
        assert one(resources, "Queue", name).props["kmsMasterKeyId"] == key
    assert [each.props["kmsKeyId"] for each in of(resources, "LogGroup")] == [key, key]
    assert of(resources, "Topic")[0].props["kmsMasterKeyId"] == key


@pytest.mark.parametrize("stack", STACKS)
def test_only_production_is_kept(stack):
    kept = {each.type.rpartition(":")[2] for each in environment(stack) if each.protect}
    assert kept == ({"Bucket", "CatalogDatabase", "Key", "Parameter", "Table", "Vault"} if stack == "prod" else set())
    document = one(environment(stack), "Parameter", "stack")
    others = {each.urn for each in environment(stack) if each.custom and each.urn != document.urn}
    assert others <= set(document.needs)  # so that its protection stops a destruction before any of them is gone
    for bucket in of(environment(stack), "Bucket"):
        assert bucket.props["forceDestroy"] == (stack != "prod")
        assert bucket.props.get("objectLockEnabled", False) == (stack == "prod")


def test_production_is_backed_up():
    selected = one(environment("prod"), "Selection", "stores").props["resources"]
    assert [arn.split(":")[2] for arn in selected] == ["s3", "s3", "dynamodb"]
    (rule,) = one(environment("prod"), "Plan", "nightly").props["rules"]
    assert rule["lifecycle"] == {"deleteAfter": 35}


def test_a_spent_budget_tells_people_and_denies_the_pipelines_every_start(resources):
    budget = of(resources, "Budget")[0].props
    assert [each["threshold"] for each in budget["notifications"]] == [80, 100, 100]
    action = one(resources, "BudgetAction", "stop").props
    assert action["approvalModel"] == "AUTOMATIC"
    assert {role.rpartition("-")[2] for role in action["definition"]["iamActionDefinition"]["roles"]} == {
        "jobs",
        "scheduler",
    }


def test_an_environment_on_trial_asks_to_be_torn_down():
    resources = changed("dev", expires="2027-01-31")
    schedule = one(resources, "Schedule", "expiry").props
    assert schedule["scheduleExpression"] == "at(2027-01-31T06:00:00)"
    assert schedule["target"]["eventbridgeParameters"] == {"detailType": "expired", "source": "thing"}
    assert (
        '"expires": "2027-01-31"' in next(e for e in resources if e.type == "pulumi:providers:aws").props["defaultTags"]
    )


def test_what_is_adopted_is_not_made():
    vpc = {"id": "vpc-0a", "subnets": ["subnet-1", "subnet-2"], "security_groups": ["sg-1"]}
    topic, budget = f"arn:aws:sns:{REGION}:{ACCOUNT}:shared", "everybodys"
    adopt = {"vpc": vpc, "topic": topic, "budget": budget, "mlflow": "https://mlflow.example.com"}
    resources = changed("staging", network="none", mlflow="none", adopt=adopt)
    assert not [each for each in resources if each.type.startswith("aws:ec2/")]
    assert not of(resources, "Topic") and not of(resources, "Budget") and not of(resources, "MlflowApp")
    found = Stack.from_json(document(resources))
    assert (found.compute.subnets, found.alarms, found.mlflow) == (("subnet-1", "subnet-2"), topic, adopt["mlflow"])
    assert one(resources, "MetricAlarm", "events-dead").props["alarmActions"] == [topic]


def test_a_pipeline_has_a_network_only_with_subnets():
    network = {"VpcConfig": {"Subnets": "{{subnets}}", "SecurityGroupIds": "{{groups}}"}}
    job = {"Steps": [{"Arguments": {"NetworkConfig": network, "VpcConfig": network["VpcConfig"], "RoleArn": "r"}}]}
    assert filled(job, {"subnets": [], "groups": []}) == {"Steps": [{"Arguments": {"RoleArn": "r"}}]}
    inside = filled(job, {"subnets": ["s"], "groups": ["g"]})["Steps"][0]["Arguments"]
    assert inside["NetworkConfig"] == {"VpcConfig": {"Subnets": ["s"], "SecurityGroupIds": ["g"]}}


def test_a_place_that_nothing_fills_is_named():
    with pytest.raises(UserError, match=r"names {{imgae}}; did you mean 'image'"):
        filled({"Image": "{{imgae}}"}, {"image": "x"})


def test_names_are_within_the_limits_of_aws():
    longest = Names("a" * 29, "staging", ACCOUNT, REGION)
    assert len(longest.bucket("store")) <= 63 and len(longest.of("continuous-training")) <= 64
