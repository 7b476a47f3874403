"""Notices: the topic through which alarms reach people."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.names import Names


@dataclass(frozen=True, kw_only=True)
class NoticesArgs:
    """The inputs of the topic.

    Attributes:
        names: the environment.
        key: ARN of the KMS key.
        contacts: e-mail addresses; each confirms once.
        adopted: ARN of a topic that is there already; None to make one.
    """

    names: Names
    key: pulumi.Input[str]
    contacts: tuple[str, ...]
    adopted: str | None


class Notices(pulumi.ComponentResource):
    """The topic of alarms.

    Attributes:
        topic: its ARN.
    """

    topic: pulumi.Input[str]

    def __init__(self, args: NoticesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Notices", "notices", None, opts)
        self.topic = args.adopted or self._make(args)
        child = pulumi.ResourceOptions(parent=self)
        for address in args.contacts:
            aws.sns.TopicSubscription(address, topic=self.topic, protocol="email", endpoint=address, opts=child)
        self.register_outputs({"topic": self.topic})

    def _make(self, args: NoticesArgs) -> pulumi.Output[str]:
        child, name = pulumi.ResourceOptions(parent=self), args.names.of("alarms")
        topic = aws.sns.Topic("alarms", name=name, kms_master_key_id=args.key, opts=child)
        policy = json.dumps(topic_policy(args.names, name), sort_keys=True)
        aws.sns.TopicPolicy("alarms", arn=topic.arn, policy=policy, opts=child)
        arn: pulumi.Output[str] = topic.arn
        return arn


def topic_policy(names: Names, name: str) -> dict[str, object]:
    """Return the policy that lets only alarms and budgets of this account publish, over TLS alone."""
    topic = names.arn("sns", name)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Publish",
                "Effect": "Allow",
                "Principal": {"Service": ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]},
                "Action": "sns:Publish",
                "Resource": topic,
                "Condition": {"StringEquals": {"aws:SourceAccount": names.account}},
            },
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sns:Publish",
                "Resource": topic,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }
