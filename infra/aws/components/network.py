"""The network: private subnets in two zones that reach services of AWS through endpoints, and nothing else."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.aws.config import Vpc
from infra.names import Names

ZONES = 2
CIDR = "10.64.0.0/16"
INTERFACES = (
    "athena", "ecr.api", "ecr.dkr", "events", "glue", "kms", "logs", "monitoring", "sagemaker.api",
    "sagemaker.runtime", "sqs", "ssm", "sts",
)  # fmt: skip
"""Services that jobs, the endpoint and the tick call; each costs some 9 USD a month and zone."""


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """The inputs of the network.

    Attributes:
        names: the environment.
        adopted: a VPC that is there already; None to make one.
    """

    names: Names
    adopted: Vpc | None


class Network(pulumi.ComponentResource):
    """Subnets without a way to the internet.

    Attributes:
        subnets: one a zone.
        security_groups: for jobs, the endpoint and the tick.
    """

    subnets: list[pulumi.Input[str]]
    security_groups: list[pulumi.Input[str]]

    def __init__(self, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:infra:Network", "network", None, opts)
        if args.adopted:
            self.subnets, self.security_groups = list(args.adopted.subnets), list(args.adopted.security_groups)
        else:
            self._make(args.names)
        self.register_outputs({"subnets": self.subnets, "security_groups": self.security_groups})

    def _make(self, names: Names) -> None:
        child = pulumi.ResourceOptions(parent=self)
        tags = {"Name": names.prefix}
        vpc = aws.ec2.Vpc(
            "vpc", cidr_block=CIDR, enable_dns_hostnames=True, enable_dns_support=True, tags=tags, opts=child
        )
        aws.ec2.DefaultSecurityGroup("closed", vpc_id=vpc.id, tags=tags, opts=child)  # without rules: nothing passes
        zones = aws.get_availability_zones_output(state="available", opts=pulumi.InvokeOutputOptions(parent=self))
        routes = aws.ec2.RouteTable("private", vpc_id=vpc.id, tags=tags, opts=child)
        subnets = [
            aws.ec2.Subnet(
                f"private-{number}",
                vpc_id=vpc.id,
                cidr_block=f"10.64.{number * 16}.0/20",
                availability_zone=zones.names.apply(lambda found, number=number: found[number]),
                tags={"Name": names.of(f"private-{number}")},
                opts=child,
            )
            for number in range(ZONES)
        ]
        for number, subnet in enumerate(subnets):
            aws.ec2.RouteTableAssociation(
                f"private-{number}", subnet_id=subnet.id, route_table_id=routes.id, opts=child
            )
        group = self._group("inside", "Jobs, endpoint and release tick", names, vpc, child)
        doors = self._group("doors", "Endpoints of the services of AWS", names, vpc, child)
        self._allow("doors", doors, group, child)
        for service in ("s3", "dynamodb"):
            gateway = aws.ec2.VpcEndpoint(
                service,
                vpc_id=vpc.id,
                service_name=f"com.amazonaws.{names.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[routes.id],
                tags={"Name": names.of(service)},
                opts=child,
            )
            aws.vpc.SecurityGroupEgressRule(
                service,
                security_group_id=group.id,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                prefix_list_id=gateway.prefix_list_id,
                description=f"To {service}",
                opts=child,
            )
        for service in INTERFACES:
            aws.ec2.VpcEndpoint(
                service,
                vpc_id=vpc.id,
                service_name=f"com.amazonaws.{names.region}.{service}",
                vpc_endpoint_type="Interface",
                subnet_ids=[subnet.id for subnet in subnets],
                security_group_ids=[doors.id],
                private_dns_enabled=True,
                tags={"Name": names.of(service)},
                opts=child,
            )
        self.subnets, self.security_groups = [subnet.id for subnet in subnets], [group.id]

    @staticmethod
    def _group(
        part: str, description: str, names: Names, vpc: aws.ec2.Vpc, opts: pulumi.ResourceOptions
    ) -> aws.ec2.SecurityGroup:
        return aws.ec2.SecurityGroup(
            part,
            name=names.of(part),
            description=description,
            vpc_id=vpc.id,
            tags={"Name": names.of(part)},
            opts=opts,
        )

    @staticmethod
    def _allow(
        name: str, doors: aws.ec2.SecurityGroup, group: aws.ec2.SecurityGroup, opts: pulumi.ResourceOptions
    ) -> None:
        """Let instances reach the endpoints over TLS, and each other for distributed training."""
        tls = {"ip_protocol": "tcp", "from_port": 443, "to_port": 443}
        aws.vpc.SecurityGroupEgressRule(
            name, security_group_id=group.id, referenced_security_group_id=doors.id, description="Out", **tls, opts=opts
        )
        aws.vpc.SecurityGroupIngressRule(
            name, security_group_id=doors.id, referenced_security_group_id=group.id, description="In", **tls, opts=opts
        )
        among = {"security_group_id": group.id, "referenced_security_group_id": group.id, "ip_protocol": "-1"}
        aws.vpc.SecurityGroupIngressRule("among", **among, description="Distributed training", opts=opts)
        aws.vpc.SecurityGroupEgressRule("among", **among, description="Distributed training", opts=opts)
