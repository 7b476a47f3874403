"""Each rule finds what violates it, and finds nothing in the environments of the repository."""

import json
import types

import pytest

from infra.policies import rules
from infra.resource import Resource
from tests.infra.environments import STACKS, changed, environment

pytestmark = pytest.mark.infra

PUBLIC = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}]}
WILD = {"Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}]}
TAGS = {"defaultTags": json.dumps({"tags": dict.fromkeys([*rules.TAGS, "production"], "true")})}


def resource(token, name="it", protect=False, **props):
    return Resource(f"aws:{token}", name, props=props, provider=TAGS, protect=protect)


BUCKET = resource("s3/bucket:Bucket", protect=True)
VIOLATIONS = [
    (rules.encrypted_at_rest, [resource("sqs/queue:Queue")], "Queue 'it' names no key"),
    (rules.encrypted_at_rest, [resource("dynamodb/table:Table", serverSideEncryption={"enabled": True})], "no key"),
    (rules.encrypted_at_rest, [resource("cloudwatch/logGroup:LogGroup")], "names no key"),
    (rules.encrypted_at_rest, [BUCKET], "has no BucketServerSideEncryptionConfiguration"),
    (rules.encrypted_in_transit, [BUCKET], "answers without TLS"),
    (rules.encrypted_in_transit, [BUCKET, resource("s3/bucketPolicy:BucketPolicy", policy=json.dumps(PUBLIC))], "TLS"),
    (rules.private_buckets, [BUCKET], "can be made public"),
    (
        rules.private_buckets,
        [BUCKET, resource("s3/bucketPublicAccessBlock:BucketPublicAccessBlock", blockPublicAcls=True)],
        "set blockPublicPolicy, ignorePublicAcls, restrictPublicBuckets",
    ),
    (rules.narrow_permissions, [resource("iam/rolePolicy:RolePolicy", policy=json.dumps(WILD))], "allows s3:*"),
    (rules.narrow_permissions, [resource("iam/policy:Policy", policy=WILD)], "allows s3:* on everything"),
    (rules.narrow_permissions, [resource("s3/bucketPolicy:BucketPolicy", policy=PUBLIC)], "trusts everybody"),
    (
        rules.narrow_permissions,
        [resource("iam/role:Role", assumeRolePolicy={"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}}]})],
        "trusts everybody",
    ),
    (rules.bounded_roles, [resource("iam/role:Role")], "no permissions boundary"),
    (rules.retained_logs, [resource("cloudwatch/logGroup:LogGroup", name="g")], "keeps logs for ever"),
    (rules.retained_logs, [resource("lambda/function:Function", "f")], "would make a log group"),
    (rules.tagged, [Resource("aws:s3/bucket:Bucket", "it")], "lacks the tags project, environment, stack, owner"),
    (
        rules.allowed_instances,
        [resource("sagemaker/endpointConfiguration:X", productionVariants=[{"instanceType": "ml.p4d.24xlarge"}])],
        "takes ml.p4d.24xlarge",
    ),
    (
        rules.allowed_instances,
        [resource("sagemaker/pipeline:Pipeline", pipelineDefinition='{"InstanceType": "ml.p5.48xlarge"}')],
        "takes ml.p5.48xlarge",
    ),
    (rules.budgeted, [], "there is no budget"),
    (rules.budgeted, [resource("budgets/budget:Budget")], "notifies nobody"),
    (rules.budgeted, [resource("budgets/budget:Budget")], "stops nothing"),
    (rules.kept_in_production, [resource("s3/bucket:Bucket")], "is not protected"),
    (rules.kept_in_production, [resource("s3/bucket:Bucket", protect=True, forceDestroy=True)], "would be emptied"),
    (rules.kept_in_production, [resource("dynamodb/table:Table", protect=True)], "no deletion protection"),
    (rules.secretless, [resource("ssm/parameter:Parameter", value="AKIA" + "A" * 16)], "secret in plain text"),
]  # fmt: skip


def given(one):
    """A recorded resource needs its physical name for the log groups."""
    return Resource(
        one.type, one.name, props={"name": one.name, **one.props}, provider=one.provider, protect=one.protect
    )


@pytest.mark.parametrize(("rule", "resources", "said"), VIOLATIONS)
def test_a_violation_is_found_and_said(rule, resources, said):
    assert any(said in line for line in rule([given(one) for one in resources]))


def test_each_rule_has_a_violation():
    assert {rule for rule, _, _ in VIOLATIONS} == set(rules.RULES)


@pytest.mark.parametrize("stack", STACKS)
def test_the_environments_violate_none(stack):
    assert rules.violations(environment(stack)) == []


def test_an_environment_may_adopt_a_budget_instead():
    assert rules.violations(changed("dev", adopt={"budget": "everybodys"})) == []


def test_an_instance_that_nobody_agreed_to_is_found_in_an_environment():
    serving = {"kind": "real-time", "instance": "ml.p4d.24xlarge"}
    found = rules.violations(changed("staging", serving=serving))
    assert found and all(line.startswith("allowed_instances: ") for line in found)


@pytest.mark.parametrize("rule", rules.RULES)
def test_what_only_the_update_will_tell_is_no_violation_and_hides_none(rule):
    unknown = {"policy": rules.UNKNOWN, "kmsMasterKeyId": rules.UNKNOWN, "serverSideEncryption": rules.UNKNOWN}
    there = [
        resource("sqs/queuePolicy:QueuePolicy", **unknown),
        resource("sqs/queue:Queue", **unknown),
        resource("dynamodb/table:Table", protect=True, deletionProtectionEnabled=True, **unknown),
    ]
    found = set(rule(there))
    assert found == ({"there is no budget"} if rule is rules.budgeted else set())
    worse = [*there, *(one for each, more, _ in VIOLATIONS if each is rule for one in more)]
    assert set(rule([given(one) for one in worse]))


def test_the_policy_pack_hands_over_what_is_unknown_as_such():
    from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

    from infra.policies.__main__ import known

    given = {"policy": UNKNOWN_STRING_VALUE, "rules": [{"key": UNKNOWN_STRING_VALUE, "on": True}], "name": "it"}
    assert known(unknown_checking_proxy(given)) == {
        "policy": rules.UNKNOWN, "rules": [{"key": rules.UNKNOWN, "on": True}], "name": "it",
    }  # fmt: skip


def test_the_policy_pack_reports_what_the_rules_say():
    from infra.policies.__main__ import policy

    options = types.SimpleNamespace(protect=False)
    seen = types.SimpleNamespace(
        resource_type="aws:iam/role:Role", name="it", urn="urn", props={}, provider=None, opts=options
    )
    reported = []
    made = policy(rules.bounded_roles)
    made.validate(types.SimpleNamespace(resources=[seen]), lambda line, urn: reported.append(line))
    assert made.name == "bounded-roles"
    assert reported == ["Role 'it' has no permissions boundary"]
