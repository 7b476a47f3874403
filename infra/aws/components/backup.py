"""Backup: a copy of all data each night, kept where the environment's own roles cannot reach."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.aws.components.identity import Identity
from infra.names import Names

_MANAGED = (
    "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup",
    "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForRestores",
    "arn:aws:iam::aws:policy/AWSBackupServiceRolePolicyForS3Backup",
    "arn:aws:iam::aws:policy/AWSBackupServiceRolePolicyForS3Restore",
)


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """The inputs of the backup.

    Attributes:
        names: the environment.
        days: that a copy is kept.
        key: ARN of the KMS key.
        identity: makes the role of AWS Backup.
        resources: ARNs of what is copied.
        production: whether the vault is protected.
    """

    names: Names
    days: int
    key: pulumi.Input[str]
    identity: Identity
    resources: list[pulumi.Input[str]]
    production: bool


class Backup(pulumi.ComponentResource):
    """The vault and the plan.

    Attributes:
        vault: its name.
    """

    def __init__(self, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Backup", "backup", None, opts)
        names, child = args.names, pulumi.ResourceOptions(parent=self)
        vault = aws.backup.Vault(
            "vault",
            name=names.of("vault"),
            kms_key_arn=args.key,
            force_destroy=not args.production,
            opts=pulumi.ResourceOptions(parent=self, protect=args.production, retain_on_delete=args.production),
        )
        role = args.identity.role("backup", "backup.amazonaws.com", [])
        for number, arn in enumerate(_MANAGED):
            aws.iam.RolePolicyAttachment(f"backup-{number}", role=role.name, policy_arn=arn, opts=child)
        plan = aws.backup.Plan(
            "nightly",
            name=names.of("nightly"),
            rules=[
                {
                    "rule_name": "nightly",
                    "target_vault_name": vault.name,
                    "schedule": "cron(0 3 * * ? *)",
                    "lifecycle": {"delete_after": args.days},
                }
            ],
            opts=child,
        )
        aws.backup.Selection(
            "stores",
            name=names.of("stores"),
            plan_id=plan.id,
            iam_role_arn=role.arn,
            resources=args.resources,
            opts=child,
        )
        self.vault = vault.name
        self.register_outputs({"vault": self.vault})
