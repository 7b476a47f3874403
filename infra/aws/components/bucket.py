"""A private bucket: encrypted with the environment's key, versioned, reached over TLS alone."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, kw_only=True)
class PrivateBucketArgs:
    """The inputs of a bucket.

    Attributes:
        bucket: its name.
        key: ARN of the KMS key.
        production: protected, kept when the stack is destroyed, and able to lock objects.
        noncurrent_days: how long replaced and deleted objects stay.
        expire_days: by prefix, how long objects stay.
        emulated: on an emulator that answers without TLS.
    """

    bucket: str
    key: pulumi.Input[str]
    production: bool
    noncurrent_days: int
    expire_days: dict[str, int]
    emulated: bool = False


class PrivateBucket(pulumi.ComponentResource):
    """A bucket with the settings that every bucket of an environment has.

    Attributes:
        bucket: the bucket itself.
        ready: resources to depend on before writing into it.
    """

    def __init__(self, name: str, args: PrivateBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:PrivateBucket", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.bucket = aws.s3.Bucket(
            name,
            bucket=args.bucket,
            force_destroy=not args.production,
            object_lock_enabled=args.production,
            opts=pulumi.ResourceOptions(parent=self, protect=args.production, retain_on_delete=args.production),
        )
        versioning = aws.s3.BucketVersioning(
            name, bucket=self.bucket.id, versioning_configuration={"status": "Enabled"}, opts=child
        )
        encryption = aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=self.bucket.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": args.key,
                    },
                    "bucket_key_enabled": True,
                }
            ],
            opts=child,
        )
        block = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=self.bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=self.bucket.id,
            rules=[
                {
                    "id": "replaced",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": args.noncurrent_days},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
                },
                *(
                    {
                        "id": prefix.strip("/"),
                        "status": "Enabled",
                        "filter": {"prefix": prefix},
                        "expiration": {"days": days},
                    }
                    for prefix, days in args.expire_days.items()
                ),
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )
        self.ready: list[pulumi.Resource] = [versioning, encryption]
        if not args.emulated:
            policy = aws.s3.BucketPolicy(
                name,
                bucket=self.bucket.id,
                policy=pulumi.Output.json_dumps(tls_only(args.bucket), sort_keys=True),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[block]),
            )
            self.ready.append(policy)
        self.register_outputs({"bucket": self.bucket.bucket})


def tls_only(bucket: str) -> dict[str, object]:
    """Return the policy that refuses what is not encrypted on its way."""
    arn = f"arn:aws:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
