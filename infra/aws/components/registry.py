"""A managed MLflow for people to browse. No release depends on it; models are in the store, by SHA-256."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.names import Names


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """The inputs of the registry.

    Attributes:
        names: the environment.
        managed: whether there is an App of its own.
        adopted: ARN or URL of one that is there already.
        role: ARN of the App's role.
        ready: what the App's bucket needs first.
    """

    names: Names
    managed: bool
    adopted: str | None
    role: pulumi.Input[str]
    ready: list[pulumi.Resource]


class Registry(pulumi.ComponentResource):
    """The registry.

    Attributes:
        address: ARN or URL of MLflow; None where there is none.
    """

    address: pulumi.Input[str] | None

    def __init__(self, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Registry", "registry", None, opts)
        self.address = args.adopted
        if args.managed:
            self.address = aws.sagemaker.MlflowApp(
                "mlflow",
                name=args.names.prefix,
                artifact_store_uri=f"s3://{args.names.bucket('store')}/mlflow",
                role_arn=args.role,
                model_registration_mode="AutoModelRegistrationDisabled",  # the model store numbers versions
                opts=pulumi.ResourceOptions(parent=self, depends_on=args.ready),
            ).arn
        self.register_outputs({"address": self.address})
