"""Cost: a budget that warns and then denies pipelines every start, and an expiry for environments on trial."""

import json
from dataclasses import dataclass
from datetime import date

import pulumi
import pulumi_aws as aws

from infra.aws.components.identity import Identity
from infra.aws.permissions import statement
from infra.names import Names

STARTS = (
    "sagemaker:CreateEndpoint", "sagemaker:CreateHyperParameterTuningJob", "sagemaker:CreateProcessingJob",
    "sagemaker:CreateTrainingJob", "sagemaker:CreateTransformJob", "sagemaker:StartPipelineExecution",
)  # fmt: skip
"""Actions that cost money when they start. The endpoint keeps serving whatever the month has cost."""


@dataclass(frozen=True, kw_only=True)
class CostArgs:
    """The inputs of the budget and the expiry.

    Attributes:
        names: the environment.
        max_monthly_usd: at 80 % of it people are told, at 100 % nothing new starts.
        topic: ARN of the topic of alarms.
        identity: whose roles the stop action takes rights from.
        bus: ARN of the event bus.
        group: name of the schedule group.
        adopted: name of a budget that is there already; None to make one.
        expires: the day on which the environment asks to be torn down.
    """

    names: Names
    max_monthly_usd: float
    topic: pulumi.Input[str]
    identity: Identity
    bus: pulumi.Input[str]
    group: pulumi.Input[str]
    adopted: str | None
    expires: date | None


class Cost(pulumi.ComponentResource):
    """The budget, its stop action, and the expiry.

    Attributes:
        budget: its name.
    """

    budget: pulumi.Input[str]

    def __init__(self, args: CostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Cost", "cost", None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self.budget = args.adopted or self._budget(args)
        if not args.adopted:
            self._stop(args)
        if args.expires:
            self._expiry(args, args.expires)
        self.register_outputs({"budget": self.budget})

    def _budget(self, args: CostArgs) -> pulumi.Input[str]:
        budget: pulumi.Output[str] = aws.budgets.Budget(
            "monthly",
            name=args.names.of("monthly"),
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=f"{args.max_monthly_usd:g}",
            limit_unit="USD",
            cost_filters=[{"name": "TagKeyValue", "values": [f"user:stack${args.names.prefix}"]}],
            notifications=[
                {
                    "comparison_operator": "GREATER_THAN",
                    "threshold": threshold,
                    "threshold_type": "PERCENTAGE",
                    "notification_type": kind,
                    "subscriber_sns_topic_arns": [args.topic],
                }
                for threshold, kind in ((80, "ACTUAL"), (100, "FORECASTED"), (100, "ACTUAL"))
            ],
            opts=self._child,
        ).name
        return budget

    def _stop(self, args: CostArgs) -> None:
        """Attach a policy that denies every start to the roles of pipelines, as soon as the budget is spent."""
        names = args.names
        stop = aws.iam.Policy(
            "stop",
            name=names.of("stop"),
            description="The month's budget is spent: nothing new starts",
            policy=json.dumps(stop_policy(), sort_keys=True),
            opts=self._child,
        )
        attach = statement(
            ["iam:AttachRolePolicy", "iam:DetachRolePolicy"],
            [names.role_arn("jobs"), names.role_arn("scheduler")],
            ArnEquals={"iam:PolicyARN": names.policy_arn("stop")},
        )
        args.identity.role("budget", "budgets.amazonaws.com", [attach])
        aws.budgets.BudgetAction(
            "stop",
            budget_name=self.budget,
            action_type="APPLY_IAM_POLICY",
            approval_model="AUTOMATIC",
            notification_type="ACTUAL",
            action_threshold={"action_threshold_type": "PERCENTAGE", "action_threshold_value": 100},
            definition={
                "iam_action_definition": {
                    "policy_arn": stop.arn,
                    "roles": [args.identity.jobs.name, args.identity.scheduler.name],
                }
            },
            execution_role_arn=args.identity.ready("budget"),
            subscribers=[{"subscription_type": "SNS", "address": args.topic}],
            opts=self._child,
        )

    def _expiry(self, args: CostArgs, day: date) -> None:
        aws.scheduler.Schedule(
            "expiry",
            name=args.names.of("expiry"),
            group_name=args.group,
            schedule_expression=f"at({day}T06:00:00)",
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": args.bus,
                "role_arn": args.identity.ready("scheduler"),
                "eventbridge_parameters": {"detail_type": "expired", "source": args.names.project},
                "input": json.dumps({"environment": args.names.environment, "expires": str(day)}, sort_keys=True),
            },
            opts=self._child,
        )


def stop_policy() -> dict[str, object]:
    """Return what a spent budget denies."""
    deny = {"Sid": "BudgetSpent", "Effect": "Deny", "Action": list(STARTS), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [deny]}
