"""The endpoint, which exists before any model and changes only with the image or the instances.

The app in it follows the release log. When SageMaker rolls an update back, the provider still records the new
configuration and may delete the one that serves (hashicorp/terraform-provider-aws 48997, 46663). So none is ever
deleted, and after each update the program reads which one the endpoint has.

A configuration that stays in SageMaker would block a new one of its name: when an earlier image returns, or when only
the network changes. So models and configurations have no fixed name: Pulumi appends random digits to the logical one,
new ones with each replacement (https://www.pulumi.com/docs/iac/concepts/resources/names/#autonaming).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.aws.components.alarm import AlarmBound, alarm
from infra.aws.components.container import variables
from infra.aws.config import RealTime, Serverless
from infra.names import Names
from pipelines.config.errors import UserError

VARIANT = "app"
KEPT = "app"
"""What models and configurations are called after the environment, before their random digits."""
_LOCAL_DISK = ("d.", "dn.", "g4dn", "g5", "g6", "p4d", "p5")  # instances whose own disks are encrypted by hardware


@dataclass(frozen=True, kw_only=True)
class ServingArgs:
    """The inputs of the endpoint.

    Attributes:
        names: the environment.
        image: by digest.
        serving: serverless, or real time on instances.
        role: ARN of the endpoint's role.
        key: ARN of the KMS key.
        subnets, security_groups: empty outside of a VPC.
        actions: ARNs of what alarms call: the topic first.
        retention_days: of logs.
        live: returns the name of the configuration that an endpoint of a region has now; None to ask nobody.
    """

    names: Names
    image: str
    serving: Serverless | RealTime
    role: pulumi.Input[str]
    key: pulumi.Input[str]
    subnets: list[pulumi.Input[str]]
    security_groups: list[pulumi.Input[str]]
    actions: list[pulumi.Input[str]]
    retention_days: int
    live: Callable[[str, str], str] | None


class ServingEndpoint(pulumi.ComponentResource):
    """The endpoint, its scaling and its alarms.

    Attributes:
        endpoint: its name.
        configuration: the name of the configuration that it was seen to have.
    """

    def __init__(self, args: ServingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Serving", "serving", None, opts)
        names, self._child = args.names, pulumi.ResourceOptions(parent=self)
        logs = aws.cloudwatch.LogGroup(
            "endpoint",
            name=f"/aws/sagemaker/Endpoints/{names.prefix}",
            retention_in_days=args.retention_days,
            kms_key_id=args.key,
            opts=self._child,
        )
        alarms = [alarm(bound, names, args.actions, self._child) for bound in bounds(names)]
        configuration = self._configuration(args)
        endpoint = aws.sagemaker.Endpoint(
            "endpoint",
            name=names.prefix,
            endpoint_config_name=configuration.name,
            deployment_config=_deployment(args.serving, [one.name for one in alarms]),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[logs]),
        )
        if isinstance(args.serving, RealTime):
            self._scale(args.serving, endpoint)
        self.endpoint = endpoint.name
        self.configuration = pulumi.Output.all(endpoint.arn, endpoint.name, configuration.name).apply(
            lambda seen: checked(args.live and partial(args.live, names.region), *seen)
        )
        self.register_outputs({"endpoint": self.endpoint, "configuration": self.configuration})

    def _configuration(self, args: ServingArgs) -> aws.sagemaker.EndpointConfiguration:
        names = args.names
        kept = pulumi.ResourceOptions(parent=self, retain_on_delete=True)
        model = aws.sagemaker.Model(
            names.of(KEPT),
            execution_role_arn=args.role,
            primary_container={
                "image": args.image,
                "environment": {**variables(names), "AWS_DEFAULT_REGION": names.region, **_environment(args.serving)},
            },
            vpc_config={"subnets": args.subnets, "security_group_ids": args.security_groups} if args.subnets else None,
            opts=kept,
        )
        variant = _variant(args.serving)
        encrypted = isinstance(args.serving, RealTime) and not any(
            part in args.serving.instance for part in _LOCAL_DISK
        )
        return aws.sagemaker.EndpointConfiguration(
            names.of(KEPT),
            kms_key_arn=args.key if encrypted else None,
            production_variants=[{**variant, "model_name": model.name}],
            opts=kept,
        )

    def _scale(self, serving: RealTime, endpoint: aws.sagemaker.Endpoint) -> None:
        target = aws.appautoscaling.Target(
            "endpoint",
            min_capacity=serving.min_instances,
            max_capacity=serving.max_instances,
            resource_id=pulumi.Output.concat("endpoint/", endpoint.name, f"/variant/{VARIANT}"),
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            service_namespace="sagemaker",
            opts=self._child,
        )
        aws.appautoscaling.Policy(
            "endpoint",
            name="requests-per-instance",
            policy_type="TargetTrackingScaling",
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            service_namespace=target.service_namespace,
            target_tracking_scaling_policy_configuration={
                "target_value": serving.requests_per_minute,
                "predefined_metric_specification": {"predefined_metric_type": "SageMakerVariantInvocationsPerInstance"},
                "scale_in_cooldown": 600,
                "scale_out_cooldown": 60,
            },
            opts=self._child,
        )


def checked(live: Callable[[str], str] | None, arn: str, endpoint: str, wanted: str) -> str:
    """Return the configuration that the endpoint has.

    Raises:
        RunError: when it is another than was asked for, as SageMaker rolled the update back; or nobody can tell.
    """
    if live is None or pulumi.runtime.is_dry_run() or not arn.startswith("arn:"):  # there is no endpoint to ask yet
        return wanted
    try:
        found = live(endpoint)
    except UserError as error:
        raise pulumi.RunError(str(error)) from error
    if found != wanted:
        raise pulumi.RunError(
            f"endpoint {endpoint} serves with {found}, not with {wanted}: SageMaker rolled the update back. Its alarms"
            " and its log say why. Nothing was deleted: run 'pulumi refresh' to record what serves, then fix the image"
        )
    return found


def _environment(serving: Serverless | RealTime) -> dict[str, str]:
    """Return what the app must know of where it runs: between requests a serverless container does not compute."""
    return {"RATCHET_FREEZES": "true"} if isinstance(serving, Serverless) else {}


def _variant(serving: Serverless | RealTime) -> dict[str, Any]:
    if isinstance(serving, Serverless):
        size = {"max_concurrency": serving.max_concurrency, "memory_size_in_mb": serving.memory_mb}
        return {"variant_name": VARIANT, "serverless_config": size}
    return {
        "variant_name": VARIANT,
        "instance_type": serving.instance,
        "initial_instance_count": serving.min_instances,
        "initial_variant_weight": 1,
        "container_startup_health_check_timeout_in_seconds": 300,
    }


def _deployment(serving: Serverless | RealTime, alarms: list[pulumi.Output[str]]) -> dict[str, Any] | None:
    """Return the policy of updates: new instances get part of the traffic, then all of it unless an alarm is raised."""
    if isinstance(serving, Serverless):
        return None  # SageMaker replaces a serverless endpoint's workers, and takes no alarms
    routing: dict[str, Any] = {"type": "ALL_AT_ONCE", "wait_interval_in_seconds": 600}
    if serving.min_instances > 1:  # a single instance cannot be replaced in parts
        routing |= {"type": "CANARY", "canary_size": {"type": "CAPACITY_PERCENT", "value": 50}}
    return {
        "blue_green_update_policy": {
            "traffic_routing_configuration": routing,
            "termination_wait_in_seconds": 300,
            "maximum_execution_timeout_in_seconds": 3600,
        },
        "auto_rollback_configuration": {"alarms": [{"alarm_name": name} for name in alarms]},
    }


def bounds(names: Names) -> list[AlarmBound]:
    """Return the bounds that roll back an update of the endpoint, and notify people and the release tick."""
    at = {"EndpointName": names.prefix, "VariantName": VARIANT}
    return [
        AlarmBound(
            "endpoint-errors", "AWS/SageMaker", "Invocation5XXErrors", at, "Average", ">", 0.01, 1,
            "More than 1 % of requests failed for 3 minutes.", periods=3,
        ),
        AlarmBound(
            "endpoint-latency", "AWS/SageMaker", "ModelLatency", at, "p99", ">", 1_000_000, 1,
            "One request in a hundred took longer than a second, for 3 minutes.", periods=3,
        ),
        AlarmBound(
            "endpoint-refused", names.metrics, "release_refused", {}, "Maximum", ">=", 1, 1,
            "An instance cannot serve the latest release.",
        ),
    ]  # fmt: skip
