"""Events: the environment's bus, the queues that workflows poll, and a dead-letter queue."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.aws.components.alarm import AlarmBound, alarm
from infra.aws.components.rule import RuleArgs, rule
from infra.names import Names

ATTEMPTS = 5
_DAYS = 86_400


@dataclass(frozen=True, kw_only=True)
class EventsArgs:
    """The inputs of the events.

    Attributes:
        names: the environment.
        key: ARN of the KMS key.
        topic: ARN of the topic of alarms.
    """

    names: Names
    key: pulumi.Input[str]
    topic: pulumi.Input[str]


class Events(pulumi.ComponentResource):
    """The bus and the queues of an environment; a message stays for two weeks, or until a workflow took it.

    Attributes:
        bus: takes what pipelines and monitors send.
        queue: holds the triggers of continuous training.
        operations: holds what happened: runs that ended, changes of the endpoint, alarms, an expiry.
        dead: holds what failed ``ATTEMPTS`` times, and what the scheduler could not deliver.
        schedules: the group of everything that is started by the clock.
    """

    def __init__(self, args: EventsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Events", "events", None, opts)
        names, self._child = args.names, pulumi.ResourceOptions(parent=self)
        self.dead = self._queue("dead", args)
        redrive = {"deadLetterTargetArn": self.dead.arn, "maxReceiveCount": ATTEMPTS}
        redrive_policy = pulumi.Output.json_dumps(redrive, sort_keys=True)
        self.queue = self._queue("events", args, redrive_policy)
        self.operations = self._queue("operations", args, redrive_policy)
        self.bus = aws.cloudwatch.EventBus("events", name=names.prefix, kms_key_identifier=args.key, opts=self._child)
        self.schedules = aws.scheduler.ScheduleGroup("schedules", name=names.prefix, opts=self._child)
        sent = [self._rule("triggers", names, {"detail-type": ["trigger"]}, self.bus.name, self.queue)]
        seen = [
            self._rule("expiry", names, {"detail-type": ["expired"]}, self.bus.name, self.operations),
            *(self._rule(part, names, pattern, "default", self.operations) for part, pattern in of_aws(names).items()),
        ]
        functions = (names.of("searched"), f"{names.prefix}/{names.of('dispatch')}")  # whose rules call them
        called = [names.arn("events", f"rule/{one}") for one in functions]
        queues: tuple[tuple[str, aws.sqs.Queue, list[pulumi.Input[str]]], ...] = (
            ("events", self.queue, [one.arn for one in sent]),
            ("operations", self.operations, [one.arn for one in seen]),
            ("dead", self.dead, [*(one.arn for one in sent + seen), *called]),
        )
        for part, queue, rules in queues:
            policy = pulumi.Output.json_dumps(queue_policy(names, part, rules), sort_keys=True)
            aws.sqs.QueuePolicy(part, queue_url=queue.url, policy=policy, opts=self._child)
        for bound in bounds(names):
            alarm(bound, names, [args.topic], self._child)
        self.register_outputs({"bus": self.bus.name, "queue": self.queue.url})

    def _queue(self, part: str, args: EventsArgs, redrive_policy: pulumi.Output[str] | None = None) -> aws.sqs.Queue:
        return aws.sqs.Queue(
            part,
            name=args.names.of(part),
            kms_master_key_id=args.key,
            kms_data_key_reuse_period_seconds=300,
            message_retention_seconds=14 * _DAYS,
            visibility_timeout_seconds=300,
            redrive_policy=redrive_policy,
            opts=self._child,
        )

    def _rule(
        self, part: str, names: Names, pattern: dict[str, Any], bus: pulumi.Input[str], queue: aws.sqs.Queue
    ) -> aws.cloudwatch.EventRule:
        ours = {"source": [names.project], **pattern}
        return rule(
            part,
            RuleArgs(names=names, pattern=ours, target="queue", arn=queue.arn, dead=self.dead.arn, bus=bus),
            self._child,
        )


def of_aws(names: Names) -> dict[str, dict[str, Any]]:
    """Return the events of AWS itself that the environment follows: its runs, its endpoint, its alarms."""
    return {
        "runs": {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
            "detail": {
                "pipelineArn": [{"prefix": names.arn("sagemaker", f"pipeline/{names.of('')}")}],
                "currentPipelineExecutionStatus": ["Succeeded", "Failed", "Stopped"],
            },
        },
        "searches": {"source": ["aws.sagemaker"], **tuning_job_ended(names)},
        "endpoint": {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Endpoint State Change", "SageMaker Endpoint Deployment State Change"],
            "detail": {"EndpointName": [names.prefix]},
        },
        "alarms": {
            "source": ["aws.cloudwatch"],
            "detail-type": ["CloudWatch Alarm State Change"],
            "detail": {"alarmName": [{"prefix": names.of("")}], "state": {"value": ["ALARM"]}},
        },
    }


def tuning_job_ended(names: Names) -> dict[str, Any]:
    """Return the pattern of the end of a search, also a stopped one, whose trials may still be useful."""
    return {
        "detail-type": ["SageMaker HyperParameter Tuning Job State Change"],
        "detail": {
            "HyperParameterTuningJobName": [{"prefix": names.of("")}],
            "HyperParameterTuningJobStatus": ["Completed", "Stopped"],
        },
    }


def queue_policy(names: Names, part: str, rules: list[pulumi.Input[str]]) -> dict[str, Any]:
    """Return the policy that lets the environment's rules send into a queue, over TLS alone."""
    queue = names.arn("sqs", names.of(part))
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Rules",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue,
                "Condition": {"ArnEquals": {"aws:SourceArn": rules}},
            },
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:*",
                "Resource": queue,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }


def bounds(names: Names) -> list[AlarmBound]:
    """Return the bounds of a queue: on messages that nobody polls, and on messages that nobody could handle."""
    return [
        AlarmBound(
            "events-dead", "AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": names.of("dead")},
            "Maximum", ">", 0, 5, f"An event was given up after {ATTEMPTS} attempts.",
        ),
        *(
            AlarmBound(
                f"{part}-waiting", "AWS/SQS", "ApproximateAgeOfOldestMessage", {"QueueName": names.of(part)},
                "Maximum", ">", 6 * 3600, 15, "An event has waited for 6 hours: nothing polls the queue.",
            )
            for part in ("events", "operations")
        ),
    ]  # fmt: skip
