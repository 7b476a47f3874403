"""Encryption and signatures: one key for all data at rest, and one that signs the release log."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.names import Names

_WRITERS = ("backup", "budgets", "cloudwatch", "s3", "scheduler", "sns")
"""Services that write into encrypted topics, queues and buckets themselves."""


@dataclass(frozen=True, kw_only=True)
class KeysArgs:
    """The inputs of the keys.

    Attributes:
        names: the environment.
        production: whether a deleted key may be called back for 30 days, instead of 7.
    """

    names: Names
    production: bool


class Keys(pulumi.ComponentResource):
    """The keys of an environment.

    Attributes:
        data: encrypts everything at rest.
        signer: ECC_NIST_P256, signs the release log.
    """

    def __init__(self, args: KeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Keys", "keys", None, opts)
        names, days = args.names, 30 if args.production else 7
        keep = pulumi.ResourceOptions(parent=self, protect=args.production)
        self.data = aws.kms.Key(
            "data",
            description=f"Data of {names.prefix} at rest",
            enable_key_rotation=True,
            deletion_window_in_days=days,
            policy=pulumi.Output.json_dumps(data_key_policy(names), sort_keys=True),
            opts=keep,
        )
        self.signer = aws.kms.Key(
            "signer",
            description=f"Signs the release log of {names.prefix}",
            customer_master_key_spec="ECC_NIST_P256",
            key_usage="SIGN_VERIFY",
            deletion_window_in_days=days,
            opts=keep,
        )
        child = pulumi.ResourceOptions(parent=self)
        for part, key in (("data", self.data), ("signer", self.signer)):
            aws.kms.Alias(part, name=f"alias/{names.of(part)}", target_key_id=key.key_id, opts=child)
        self.register_outputs({"data": self.data.arn, "signer": self.signer.arn})


def data_key_policy(names: Names) -> dict[str, object]:
    """Return the policy of the data key: IAM decides for the account's roles; services act on the account's behalf."""
    logs = names.arn("logs", "log-group:*")
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AsIamSays",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{names.account}:root"},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Sid": "Services",
                "Effect": "Allow",
                "Principal": {"Service": [f"{service}.amazonaws.com" for service in _WRITERS]},
                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:SourceAccount": names.account}},
            },
            {
                # Without a condition: EventBridge sends none with what it delivers to an encrypted queue, and would
                # drop every event in silence (SQS developer guide, "Configure KMS permissions for AWS services").
                "Sid": "Events",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"],
                "Resource": "*",
            },
            {
                "Sid": "Logs",
                "Effect": "Allow",
                "Principal": {"Service": f"logs.{names.region}.amazonaws.com"},
                "Action": ["kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                "Resource": "*",
                "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
            },
        ],
    }
