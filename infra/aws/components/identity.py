"""Identity: a role for each service and function, with the least privileges, within the bootstrap's boundary."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.aws.permissions import Permissions, Statement, Text, document, trust, trust_roles
from infra.names import Names

SAGEMAKER, LAMBDA, SCHEDULER = "sagemaker.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class IdentityArgs:
    """The inputs of the roles.

    Attributes:
        names: the environment.
        data_key: ARN of the key of data at rest.
        signer: ARN of the key that signs the release log.
        subnets: of jobs, endpoint and tick; empty outside of a VPC.
        readers: ARNs of the roles that may read the raw tables.
        lender: ARN of the role by which the jobs read another environment's; None when they need none.
        app_key: ARN of the key of the GitHub App that is told of triggers; None where none is.
    """

    names: Names
    data_key: Text
    signer: Text
    subnets: list[Text]
    readers: tuple[str, ...] = ()
    lender: str | None = None
    app_key: str | None = None


class Identity(pulumi.ComponentResource):
    """The roles of an environment.

    Attributes:
        jobs: training, processing and pipelines.
        serving: the endpoint.
        tick: the release tick.
        scheduler: what starts them by the clock.
        mlflow: the managed MLflow.
    """

    def __init__(self, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Identity", "identity", None, opts)
        self._names, self._child = args.names, pulumi.ResourceOptions(parent=self)
        self._ready: dict[str, pulumi.Output[str]] = {}
        may = Permissions(args.names, args.data_key, args.signer)
        net = may.in_vpc(args.subnets) if args.subnets else []
        borrowed = [may.borrow(args.lender)] if args.lender else []
        self.jobs = self.role("jobs", SAGEMAKER, [*may.jobs(), *borrowed, *net])
        self.serving = self.role("serving", SAGEMAKER, [*may.serving(), *net])
        self.tick = self.role("tick", LAMBDA, [*may.tick(), *net])
        self.scheduler = self.role("scheduler", SCHEDULER, may.scheduler())
        self.mlflow = self.role("mlflow", SAGEMAKER, may.mlflow())
        if args.app_key:
            self.role("dispatch", LAMBDA, may.dispatch(args.app_key))
        if args.readers:
            self._role("reader", trust_roles(args.readers), may.reader())
        self.register_outputs({"jobs": self.jobs.arn, "serving": self.serving.arn})

    def role(self, part: str, service: str, statements: list[Statement]) -> aws.iam.Role:
        """Return a role that a service takes, within the boundary."""
        return self._role(part, trust(service, self._names.account), statements)

    def _role(self, part: str, trusts: str, statements: list[Statement]) -> aws.iam.Role:
        role = aws.iam.Role(
            part,
            name=self._names.of(part),
            assume_role_policy=trusts,
            permissions_boundary=self._names.boundary_arn,
            max_session_duration=3600,
            opts=self._child,
        )
        self._ready[part] = role.arn
        if statements:
            policy = aws.iam.RolePolicy(part, name=part, role=role.id, policy=document(statements), opts=self._child)
            self._ready[part] = pulumi.Output.all(role.arn, policy.id).apply(lambda both: str(both[0]))
        return role

    def ready(self, part: str) -> pulumi.Output[str]:
        """Return a role's ARN once its policies exist, because AWS checks some when a resource gets the role."""
        return self._ready[part]
