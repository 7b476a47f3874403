"""The data lake and the offline feature store: two buckets, the Glue databases of the tables, an Athena workgroup."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.aws.components.bucket import PrivateBucket, PrivateBucketArgs
from infra.names import Names
from pipelines.contracts import keys

SCHEMAS = ("raw", "features", "quarantine")
SCANNED_BYTES = 100 * 2**30  # of one query, which is 0.50 USD; a mistake stops there


@dataclass(frozen=True, kw_only=True)
class LakeArgs:
    """The inputs of the lake.

    Attributes:
        names: the environment.
        key: ARN of the KMS key.
        production: protected and kept.
        retention_days: of predictions, of intermediate results, and of what was replaced.
        emulated: on an emulator, which has no engine for Athena.
    """

    names: Names
    key: pulumi.Input[str]
    production: bool
    retention_days: int
    emulated: bool = False


class Lake(pulumi.ComponentResource):
    """The buckets and the workgroup.

    Attributes:
        store: the bucket of runs, models, releases and predictions.
        tables: the bucket of the Iceberg tables.
        workgroup: of Athena; None on an emulator.
    """

    def __init__(self, args: LakeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Lake", "lake", None, opts)
        names, child = args.names, pulumi.ResourceOptions(parent=self)
        brief = {keys.CHECKPOINTS: 7, keys.PREDICTIONS: args.retention_days}
        runs = {} if args.production else {keys.RUNS: 90, keys.RUN_INDEX: 90}  # of what serves there, for good
        self.store = self._bucket("store", args, brief | runs, child)
        self.tables = self._bucket("lake", args, {keys.ATHENA: 7, keys.QUERIES: 7}, child)
        for schema in SCHEMAS:
            database = f"{names.catalog}_{schema}"
            location = f"s3://{names.bucket('lake')}/{keys.TABLES}{schema}"
            kept = pulumi.ResourceOptions(parent=self, protect=args.production, retain_on_delete=args.production)
            aws.glue.CatalogDatabase(schema, name=database, location_uri=location, opts=kept)
        self.workgroup = None if args.emulated else self._workgroup(args, child)
        self.register_outputs({"store": self.store.bucket.bucket, "lake": self.tables.bucket.bucket})

    @staticmethod
    def _workgroup(args: LakeArgs, opts: pulumi.ResourceOptions) -> aws.athena.Workgroup:
        names = args.names
        encryption = {"encryption_option": "SSE_KMS", "kms_key_arn": args.key}
        return aws.athena.Workgroup(
            "queries",
            name=names.prefix,
            force_destroy=not args.production,
            configuration={
                "enforce_workgroup_configuration": True,
                "publish_cloudwatch_metrics_enabled": True,
                "bytes_scanned_cutoff_per_query": SCANNED_BYTES,
                "engine_version": {"selected_engine_version": "Athena engine version 3"},
                "result_configuration": {
                    "output_location": f"s3://{names.bucket('lake')}/{keys.ATHENA}",
                    "encryption_configuration": encryption,
                },
            },
            opts=opts,
        )

    @staticmethod
    def _bucket(part: str, args: LakeArgs, expire: dict[str, int], opts: pulumi.ResourceOptions) -> PrivateBucket:
        bucket = PrivateBucketArgs(
            bucket=args.names.bucket(part),
            key=args.key,
            production=args.production,
            noncurrent_days=args.retention_days,
            expire_days=expire,
            emulated=args.emulated,
        )
        return PrivateBucket(part, bucket, opts)
