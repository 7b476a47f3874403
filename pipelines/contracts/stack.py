"""What an environment's stack provisioned: the document that ``infra`` writes and the pipelines read.

The stack writes it as JSON into its store bucket, and the name of that object into the SSM parameter
:func:`parameter_name`, so a command finds everything by the names of the project and the environment.
"""

from pydantic import Field

from pipelines.config.strict import StrictModel


def parameter_name(project: str, environment: str) -> str:
    """Return the SSM parameter that holds the ``s3://`` address of the environment's document."""
    return f"/{project}/{environment}/stack"


class Store(StrictModel):
    """Where objects are stored.

    Attributes:
        bucket: runs, models, release log, decisions, reports, predictions; object lock where it is production.
        lake: Iceberg tables, below ``s3://<lake>/tables``.
        key: ARN of the KMS key that encrypts both.
        locked_days: for how long nobody can delete an audit record, such as an entry of the release log; 0 for no lock.
    """

    bucket: str
    lake: str
    key: str
    locked_days: int = 0


class FeatureStore(StrictModel):
    """The feature store.

    Attributes:
        catalog: what the names of the environment's Glue databases begin with; ``raw`` is ``<catalog>_raw``.
        workgroup: the Athena workgroup; its results lie in the lake.
        online: the DynamoDB table of the online store.
    """

    catalog: str
    workgroup: str
    online: str


class Lent(StrictModel):
    """The raw tables that another environment shares for reading.

    Attributes:
        environment: its name.
        role: ARN of the role there that may read them, and that this environment's jobs may take.
    """

    environment: str
    role: str = Field(pattern=r"^arn:aws:iam::\d{12}:role/\S+-reader$")


class Dispatch(StrictModel):
    """A GitHub App that starts workflows as soon as a trigger arrives.

    Attributes:
        app: its client ID.
        installation: on the repository.
        repository: owner and name.
        key: ARN of the KMS key that holds the App's private key (RSA_2048, SIGN_VERIFY).
        api: of GitHub, or of a GitHub Enterprise Server.
    """

    app: str = Field(pattern=r"^[A-Za-z0-9.]+$")
    installation: int = Field(gt=0)
    repository: str = Field(pattern=r"^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$")
    key: str = Field(pattern=r"^arn:aws:kms:\S+:key/\S+$")
    api: str = Field(default="https://api.github.com", pattern=r"^https?://\S+[^/]$")


class TrainingResources(StrictModel):
    """The settings of training jobs.

    Attributes:
        instance: the type without a GPU.
        gpu_instance: the type with one, for networks; None where none is needed, so that no quota is.
        instances: of one job of a network, which they train together.
        spot: cheaper instances that AWS may reclaim; jobs then resume from a checkpoint.
        max_hours: after which a job is stopped.
        warm_minutes: how long instances stay for the next job, at the price of running ones.
    """

    instance: str = "ml.m5.xlarge"
    gpu_instance: str | None = None
    instances: int = 1
    spot: bool = True
    max_hours: int = 4
    warm_minutes: int = 0


class Compute(StrictModel):
    """Where steps run.

    Attributes:
        image: the container image, by digest; None until the first was delivered.
        role: ARN of the role of training, processing and pipelines.
        subnets: of jobs; empty outside of a VPC.
        security_groups: of jobs.
        training: what training jobs are started with.
        quotas: instances that the account must allow, by the name of the quota in Service Quotas.
    """

    image: str | None
    role: str
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    training: TrainingResources = TrainingResources()
    quotas: dict[str, int] = Field(default_factory=dict)


class Stack(StrictModel):
    """An environment on AWS, or on an emulator of it.

    Attributes:
        project: the name that every resource begins with.
        environment: dev, staging, prod, …
        region: the code of the AWS region.
        account: twelve digits.
        endpoint_url: of an emulator; None for AWS itself.
        signer: ARN of the KMS key that signs the release log (ECC_NIST_P256).
        queue: URL of the queue of events.
        operations: URL of the queue of operational events: ended runs, endpoint changes, alarms, an expiry.
        bus: name of the event bus that feeds it.
        metrics: the CloudWatch namespace.
        alarms: ARN of the SNS topic that people subscribe to.
        mlflow: ARN of the managed MLflow, a URL, or None where there is none.
        endpoint: name of the serving endpoint; None where Kubernetes serves.
        dispatch: the GitHub App that starts workflows on triggers; None where workflows only poll.
        lent: the environment whose raw rows this one trains on; None where it reads the problem's own source.
    """

    project: str
    environment: str
    region: str
    account: str = Field(pattern=r"^\d{12}$")
    endpoint_url: str | None = None
    store: Store
    features: FeatureStore
    compute: Compute
    signer: str
    queue: str
    operations: str | None = None
    bus: str
    metrics: str
    alarms: str
    mlflow: str | None = None
    endpoint: str | None = None
    dispatch: Dispatch | None = None
    lent: Lent | None = None
