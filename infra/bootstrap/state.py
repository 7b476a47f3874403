"""Pulumi's state: a bucket that keeps old versions for 90 days, and the key of the secrets in it."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.bootstrap.scope import Home


@dataclass(frozen=True, kw_only=True)
class StateArgs:
    """The inputs of the state.

    Attributes:
        home: the account.
    """

    home: Home


class StateBackend(pulumi.ComponentResource):
    """The backend of every stack of the project in an account.

    Attributes:
        bucket: its name.
        key: ARN of the key.
        alias: the key's alias, which ``pulumi stack init --secrets-provider`` takes.
    """

    def __init__(self, args: StateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:bootstrap:State", "state", None, opts)
        kept = pulumi.ResourceOptions(parent=self, protect=True)
        child = pulumi.ResourceOptions(parent=self)
        key = aws.kms.Key(
            "state",
            description=f"Pulumi's state of {args.home.project}",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            opts=kept,
        )
        alias = aws.kms.Alias("state", name=f"alias/{args.home.project}-state", target_key_id=key.key_id, opts=child)
        bucket = aws.s3.Bucket("state", bucket=args.home.state_bucket, opts=kept)
        aws.s3.BucketPublicAccessBlock(
            "state",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            "state",
            bucket=bucket.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": key.arn,
                    },
                    "bucket_key_enabled": True,
                }
            ],
            opts=child,
        )
        versions = aws.s3.BucketVersioning(
            "state", bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=child
        )
        aws.s3.BucketLifecycleConfiguration(
            "state",
            bucket=bucket.id,
            rules=[
                {
                    "id": "replaced",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": 90},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
                }
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versions]),
        )
        policy = json.dumps(encrypted_on_its_way(args.home.state_bucket))
        aws.s3.BucketPolicy("state", bucket=bucket.id, policy=policy, opts=child)
        self.bucket, self.key, self.alias = bucket.bucket, key.arn, alias.name
        self.register_outputs({"bucket": self.bucket, "key": self.key})


def encrypted_on_its_way(bucket: str) -> dict[str, object]:
    """Return the bucket policy that refuses requests without TLS."""
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
