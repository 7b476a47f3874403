"""Translates what Pulumi's programs register into the requests by which the provider makes it, as far as it has texts.

A property goes to the member of the request whose name is the same apart from case, and below it likewise; the table
says where names differ. A property that has no place is an error, so that nothing escapes the check in silence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.aws.service_models import compiled, model, of_shape

Props = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """How resources of a type are made.

    Attributes:
        service: as botocore names it.
        operations: whose requests take the properties; each goes to all that have it.
        renamed: the member of a property, at any depth; ``A.B`` is member B of A.
        unsent: properties that the provider keeps to itself.
        shaped: rewrites the properties first, where the request is of another form.
    """

    service: str
    operations: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)
    unsent: frozenset[str] = frozenset()
    shaped: Callable[[dict[str, Any]], dict[str, Any]] = dict


class NotMapped(AssertionError):
    """A property of a resource has no place in the requests that make it."""


def faults(kind: str, name: str, props: Props) -> list[str]:
    """Return what AWS would refuse of a resource."""
    made = TABLE[kind]
    given = {key: value for key, value in made.shaped(dict(props)).items() if key not in made.unsent}
    found, placed = [], set()
    for operation in made.operations:
        shape = model(made.service).operation_model(operation).input_shape
        members = {key: value for key, value in given.items() if _member(shape, key, made) is not None}
        placed |= members.keys()
        request = _request(shape, members, made, f"{kind} {name}")
        path = f"{kind} {name}: {operation}"
        found += list(of_shape(shape, request, path, whole=False))
    if left := given.keys() - placed:
        raise NotMapped(f"{kind} {name}: no request of {made.operations} takes {', '.join(sorted(left))}")
    return found + [f"{kind} {name}: {said}" for said in _beyond(kind, given)]


def _member(shape: Any, key: str, made: Made) -> str | None:
    """Return the path of the member that takes a property."""
    path = made.renamed.get(key)
    if path is not None and path.partition(".")[0] in shape.members:
        return path
    plain = {name.lower(): name for name in shape.members}
    return plain.get(key.lower())


def _request(shape: Any, given: Props, made: Made, where: str) -> dict[str, Any]:
    request: dict[str, Any] = {}
    for key, value in given.items():
        path = _member(shape, key, made)
        if path is None:
            raise NotMapped(f"{where}: {shape.name} has no member for {key}: {', '.join(shape.members)}")
        place, target = request, shape
        *folders, last = path.split(".")
        for folder in folders:
            place, target = place.setdefault(folder, {}), target.members[folder]
        place[last] = _value(target.members[last], value, made, f"{where}.{key}")
    return request


def _value(shape: Any, value: Any, made: Made, where: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        (value,) = value if isinstance(value, list) else [value]
        return _request(shape, value, made, where)
    if kind == "list" and isinstance(value, list):
        return [_value(shape.member, one, made, where) for one in value]
    if kind == "map" and isinstance(value, Mapping):
        return {key: _value(shape.value, one, made, where) for key, one in value.items()}
    if kind in {"integer", "long"} and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "string" and isinstance(value, (int, float)):
        return f"{value:g}"
    return value


# ---- what the models of the services leave out, and their documentation says

_S3_BUCKET = r"(?!xn--|sthree-)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_GROUP = r"(?!sg-)[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}"
DOCUMENTED: dict[str, dict[str, str]] = {
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    "aws:s3/bucket:Bucket": {"bucket": _S3_BUCKET},
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
    "aws:sqs/queue:Queue": {"name": r"[A-Za-z0-9_-]{1,80}"},
    # https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
    "aws:sns/topic:Topic": {"name": r"[A-Za-z0-9_-]{1,256}"},
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
    "aws:ec2/securityGroup:SecurityGroup": {"name": _GROUP, "description": _GROUP.replace("(?!sg-)", "")},
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": {"description": _GROUP.replace("(?!sg-)", "")},
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": {"description": _GROUP.replace("(?!sg-)", "")},
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    "aws:scheduler/schedule:Schedule": {
        "scheduleExpression": r"rate\(\d+ (minute|hour|day)s?\)|cron\((\S+ ){5}\S+\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)"
    },
    # https://docs.aws.amazon.com/aws-backup/latest/devguide/API_BackupSelection.html
    "aws:backup/selection:Selection": {"name": r"[A-Za-z0-9\-_.]{1,50}"},
    "aws:backup/vault:Vault": {"name": r"[A-Za-z0-9\-_]{2,50}"},
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
    "aws:cloudwatch/logGroup:LogGroup": {
        "retentionInDays": r"(1|3|5|7|14|30|60|90|120|150|180|365|400|545|731|1096|1827|2192|2557|2922|3288|3653)"
    },
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html, of a standard metric
    "aws:cloudwatch/metricAlarm:MetricAlarm": {"period": r"(10|20|30|\d*[1-9]?\d*)", "extendedStatistic": r"p\d{1,2}(\.\d{1,10})?"},
}  # fmt: skip


def _beyond(kind: str, given: Props) -> list[str]:
    found = []
    for key, pattern in DOCUMENTED.get(kind, {}).items():
        if (value := given.get(key)) is None:
            continue
        text = f"{value:g}" if isinstance(value, float) else str(value)
        if not compiled(pattern).fullmatch(text):
            found.append(f"{key} {text!r} does not match {pattern}")
    return found


# ---- the table


def _named(member: str, **more: str) -> dict[str, str]:
    return {"name": member, **more}


def _dimensions(props: dict[str, Any]) -> dict[str, Any]:
    return props | {"dimensions": [{"name": name, "value": value} for name, value in props["dimensions"].items()]}


def _budget(props: dict[str, Any]) -> dict[str, Any]:
    limit = {"amount": props.pop("limitAmount"), "unit": props.pop("limitUnit")}
    filters = {one["name"]: one["values"] for one in props.pop("costFilters")}
    told = [
        {
            "subscribers": [{"subscriptionType": "SNS", "address": arn} for arn in one["subscriberSnsTopicArns"]],
            "notification": {key: value for key, value in one.items() if key != "subscriberSnsTopicArns"},
        }
        for one in props.pop("notifications")
    ]
    return {"budget": {**props, "budgetLimit": limit, "costFilters": filters}, "notificationsWithSubscribers": told}


def _target(props: dict[str, Any]) -> dict[str, Any]:
    own = {key: props.pop(key) for key in ("arn", "targetId", "deadLetterConfig")}
    own["id"] = own.pop("targetId")
    return props | {"targets": [own]}


def _table(props: dict[str, Any]) -> dict[str, Any]:
    return props | {
        "keySchema": [{"attributeName": props.pop("hashKey"), "keyType": "HASH"}],
        "attributeDefinitions": [
            {"attributeName": one["name"], "attributeType": one["type"]} for one in props.pop("attributes")
        ],
        "pointInTimeRecoverySpecification": {"pointInTimeRecoveryEnabled": props.pop("pointInTimeRecovery")["enabled"]},
        "timeToLiveSpecification": props.pop("ttl"),
        "sseSpecification": props.pop("serverSideEncryption"),
    }


def _queue(props: dict[str, Any]) -> dict[str, Any]:
    names = {
        "kmsMasterKeyId": "KmsMasterKeyId", "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
        "visibilityTimeoutSeconds": "VisibilityTimeout", "messageRetentionSeconds": "MessageRetentionPeriod",
        "redrivePolicy": "RedrivePolicy",
    }  # fmt: skip
    given = {names[key]: value for key, value in props.items() if key != "name"}
    return {"name": props["name"], "attributes": given}


def _topic(props: dict[str, Any]) -> dict[str, Any]:
    return {"name": props["name"], "attributes": {"KmsMasterKeyId": props["kmsMasterKeyId"]}}


def _attribute(resource: str, name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda props: {resource: props["arn"], "attributeName": name, "attributeValue": props["policy"]}


def _queue_policy(props: dict[str, Any]) -> dict[str, Any]:
    return {"queueUrl": props["queueUrl"], "attributes": {"Policy": props["policy"]}}


def _rule_of_group(props: dict[str, Any]) -> dict[str, Any]:
    other = props.get("referencedSecurityGroupId")
    permission = {
        "ipProtocol": props["ipProtocol"],
        **{key: props[key] for key in ("fromPort", "toPort") if key in props},
        "userIdGroupPairs": [{"groupId": other, "description": props["description"]}] if other else [],
        "prefixListIds": [] if other else [{"prefixListId": props["prefixListId"]}],
    }
    return {"groupId": props["securityGroupId"], "ipPermissions": [permission], "description": props["description"]}


_RULE = {"unsent": frozenset({"description"}), "shaped": _rule_of_group}
_TAGGED = frozenset({"tags"})

TABLE: dict[str, Made] = {
    "aws:appautoscaling/policy:Policy": Made(
        "application-autoscaling", ("PutScalingPolicy",), _named("PolicyName")
    ),
    "aws:appautoscaling/target:Target": Made("application-autoscaling", ("RegisterScalableTarget",)),
    "aws:athena/workgroup:Workgroup": Made(
        "athena", ("CreateWorkGroup",), {"kmsKeyArn": "KmsKey"}, frozenset({"forceDestroy"})
    ),
    "aws:backup/plan:Plan": Made(
        "backup", ("CreateBackupPlan",),
        _named("BackupPlan.BackupPlanName", rules="BackupPlan.Rules", targetVaultName="TargetBackupVaultName",
               schedule="ScheduleExpression", deleteAfter="DeleteAfterDays"),
    ),
    "aws:backup/selection:Selection": Made(
        "backup", ("CreateBackupSelection",),
        _named("BackupSelection.SelectionName", planId="BackupPlanId", iamRoleArn="BackupSelection.IamRoleArn",
               resources="BackupSelection.Resources"),
    ),
    "aws:backup/vault:Vault": Made(
        "backup", ("CreateBackupVault",), _named("BackupVaultName", kmsKeyArn="EncryptionKeyArn"),
        frozenset({"forceDestroy"}),
    ),
    "aws:budgets/budget:Budget": Made("budgets", ("CreateBudget",), _named("BudgetName"), shaped=_budget),
    "aws:budgets/budgetAction:BudgetAction": Made("budgets", ("CreateBudgetAction",)),
    "aws:cloudwatch/dashboard:Dashboard": Made("cloudwatch", ("PutDashboard",)),
    "aws:cloudwatch/eventBus:EventBus": Made("events", ("CreateEventBus",)),
    "aws:cloudwatch/eventRule:EventRule": Made("events", ("PutRule",)),
    "aws:cloudwatch/eventTarget:EventTarget": Made("events", ("PutTargets",), shaped=_target),
    "aws:cloudwatch/logGroup:LogGroup": Made(
        "logs", ("CreateLogGroup", "PutRetentionPolicy"), _named("logGroupName")
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": Made(
        "cloudwatch", ("PutMetricAlarm",), {}, shaped=lambda props: _dimensions({"alarmName": props.pop("name"), **props})
    ),
    "aws:dynamodb/table:Table": Made(
        "dynamodb", ("CreateTable", "UpdateTimeToLive", "UpdateContinuousBackups"),
        {"kmsKeyArn": "KMSMasterKeyId"},
        shaped=lambda props: _table({"tableName": props.pop("name"), **props}),
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": Made(
        "ec2", ("DescribeSecurityGroups",), unsent=frozenset({"vpcId", "tags"})
    ),
    "aws:ec2/routeTable:RouteTable": Made("ec2", ("CreateRouteTable",), unsent=_TAGGED),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Made("ec2", ("AssociateRouteTable",)),
    "aws:ec2/securityGroup:SecurityGroup": Made("ec2", ("CreateSecurityGroup",), _named("GroupName"), _TAGGED),
    "aws:ec2/subnet:Subnet": Made("ec2", ("CreateSubnet",), unsent=_TAGGED),
    "aws:ec2/vpc:Vpc": Made(
        "ec2", ("CreateVpc", "ModifyVpcAttribute"), {"enableDnsSupport": "EnableDnsSupport.Value",
        "enableDnsHostnames": "EnableDnsHostnames.Value"}, _TAGGED,
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Made("ec2", ("CreateVpcEndpoint",), unsent=_TAGGED),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": Made(
        "ecr", ("PutLifecyclePolicy",), {"repository": "repositoryName", "policy": "lifecyclePolicyText"}
    ),
    "aws:ecr/repository:Repository": Made(
        "ecr", ("CreateRepository",), _named("repositoryName", encryptionConfigurations="encryptionConfiguration")
    ),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": Made(
        "ecr", ("SetRepositoryPolicy",), {"repository": "repositoryName", "policy": "policyText"}
    ),
    "aws:glue/catalogDatabase:CatalogDatabase": Made(
        "glue", ("CreateDatabase",), _named("DatabaseInput.Name", locationUri="DatabaseInput.LocationUri")
    ),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": Made(
        "iam", ("CreateOpenIDConnectProvider",), {"clientIdLists": "ClientIDList"}
    ),
    "aws:iam/policy:Policy": Made("iam", ("CreatePolicy",), _named("PolicyName", policy="PolicyDocument")),
    "aws:iam/role:Role": Made("iam", ("CreateRole",), _named("RoleName", assumeRolePolicy="AssumeRolePolicyDocument")),
    "aws:iam/rolePolicy:RolePolicy": Made(
        "iam", ("PutRolePolicy",), _named("PolicyName", role="RoleName", policy="PolicyDocument")
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Made("iam", ("AttachRolePolicy",), {"role": "RoleName"}),
    "aws:kms/alias:Alias": Made("kms", ("CreateAlias",), _named("AliasName")),
    "aws:kms/key:Key": Made(
        "kms", ("CreateKey", "ScheduleKeyDeletion"),
        {"deletionWindowInDays": "PendingWindowInDays", "customerMasterKeySpec": "KeySpec"},
        frozenset({"enableKeyRotation"}),
    ),
    "aws:lambda/function:Function": Made(
        "lambda", ("CreateFunction",),
        _named("FunctionName", imageUri="Code.ImageUri", commands="Command", entryPoints="EntryPoint"),
    ),
    "aws:lambda/permission:Permission": Made("lambda", ("AddPermission",), {"function": "FunctionName"}),
    "aws:s3/bucket:Bucket": Made(
        "s3", ("CreateBucket",), {"objectLockEnabled": "ObjectLockEnabledForBucket"}, frozenset({"forceDestroy"})
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": Made(
        "s3", ("PutBucketLifecycleConfiguration",), {"rules": "LifecycleConfiguration.Rules"}
    ),
    "aws:s3/bucketObjectv2:BucketObjectv2": Made(
        "s3", ("PutObject",), {"content": "Body", "kmsKeyId": "SSEKMSKeyId"}
    ),
    "aws:s3/bucketPolicy:BucketPolicy": Made("s3", ("PutBucketPolicy",)),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": Made(
        "s3", ("PutPublicAccessBlock",),
        {name[0].lower() + name[1:]: f"PublicAccessBlockConfiguration.{name}"
         for name in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")},
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": Made(
        "s3", ("PutBucketEncryption",), {"rules": "ServerSideEncryptionConfiguration.Rules"}
    ),
    "aws:s3/bucketVersioning:BucketVersioning": Made("s3", ("PutBucketVersioning",)),
    "aws:sagemaker/endpoint:Endpoint": Made(
        "sagemaker", ("CreateEndpoint", "UpdateEndpoint"), _named("EndpointName")
    ),
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": Made(
        "sagemaker", ("CreateEndpointConfig",), _named("EndpointConfigName", kmsKeyArn="KmsKeyId")
    ),
    "aws:sagemaker/mlflowApp:MlflowApp": Made("sagemaker", ("CreateMlflowApp",)),
    "aws:sagemaker/model:Model": Made("sagemaker", ("CreateModel",), _named("ModelName")),
    "aws:sagemaker/pipeline:Pipeline": Made("sagemaker", ("CreatePipeline",)),
    "aws:scheduler/schedule:Schedule": Made("scheduler", ("CreateSchedule",)),
    "aws:scheduler/scheduleGroup:ScheduleGroup": Made("scheduler", ("CreateScheduleGroup",)),
    "aws:sns/topic:Topic": Made("sns", ("CreateTopic",), shaped=_topic),
    "aws:sns/topicPolicy:TopicPolicy": Made("sns", ("SetTopicAttributes",), shaped=_attribute("topicArn", "Policy")),
    "aws:sns/topicSubscription:TopicSubscription": Made("sns", ("Subscribe",), {"topic": "TopicArn"}),
    "aws:sqs/queue:Queue": Made("sqs", ("CreateQueue",), _named("QueueName"), shaped=_queue),
    "aws:sqs/queuePolicy:QueuePolicy": Made("sqs", ("SetQueueAttributes",), shaped=_queue_policy),
    "aws:ssm/parameter:Parameter": Made("ssm", ("PutParameter",)),
    "aws:ssoadmin/accountAssignment:AccountAssignment": Made("sso-admin", ("CreateAccountAssignment",)),
    "aws:ssoadmin/permissionSet:PermissionSet": Made("sso-admin", ("CreatePermissionSet",)),
    "aws:ssoadmin/permissionSetInlinePolicy:PermissionSetInlinePolicy": Made(
        "sso-admin", ("PutInlinePolicyToPermissionSet",)
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": Made(
        "ec2", ("AuthorizeSecurityGroupEgress",), **_RULE
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": Made(
        "ec2", ("AuthorizeSecurityGroupIngress",), **_RULE
    ),
}  # fmt: skip
