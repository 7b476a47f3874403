"""The online store: one DynamoDB table with the latest features of each entity."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.names import Names


@dataclass(frozen=True, kw_only=True)
class OnlineArgs:
    """The inputs of the online store.

    Attributes:
        names: the environment.
        key: ARN of the KMS key.
        production: protected, and restorable to any second of the last 35 days.
    """

    names: Names
    key: pulumi.Input[str]
    production: bool


class Online(pulumi.ComponentResource):
    """The online store, paid by request.

    Attributes:
        table: keyed by ``view`` and ``entity`` in one text, so that no view is one partition.
    """

    def __init__(self, args: OnlineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Online", "online", None, opts)
        self.table = aws.dynamodb.Table(
            "online",
            name=args.names.of("online"),
            billing_mode="PAY_PER_REQUEST",
            hash_key="key",
            attributes=[{"name": "key", "type": "S"}],
            ttl={"attribute_name": "expires", "enabled": True},
            point_in_time_recovery={"enabled": args.production},
            server_side_encryption={"enabled": True, "kms_key_arn": args.key},
            deletion_protection_enabled=args.production,
            opts=pulumi.ResourceOptions(parent=self, protect=args.production, retain_on_delete=args.production),
        )
        self.register_outputs({"table": self.table.name})
