"""The repository of container images, with immutable tags and scans."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.bootstrap.scope import Home


@dataclass(frozen=True, kw_only=True)
class ImagesArgs:
    """The inputs of the repository.

    Attributes:
        home: the account.
        readers: accounts that may pull them.
    """

    home: Home
    readers: tuple[str, ...]


class ImageRepository(pulumi.ComponentResource):
    """A repository that the building environment pushes to and every other one pulls from by digest.

    Attributes:
        url: where to push.
    """

    def __init__(self, args: ImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:bootstrap:Images", "images", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        repository = aws.ecr.Repository(
            "images",
            name=args.home.project,
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS"}],
            opts=pulumi.ResourceOptions(parent=self, protect=True),
        )
        aws.ecr.LifecyclePolicy("images", repository=repository.name, policy=json.dumps(lifecycle()), opts=child)
        aws.ecr.RepositoryPolicy(
            "images", repository=repository.name, policy=json.dumps(pull_policy(args.home, args.readers)), opts=child
        )
        self.url = repository.repository_url
        self.register_outputs({"url": self.url})


KEPT = 1500
"""Tags: each merge that is delivered has three, of the image, its signature and its attestation."""


def lifecycle() -> dict[str, object]:
    """Return the lifecycle rules: untagged images are deleted after two weeks, others after 500 more deliveries."""
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}
    oldest = {
        "tagStatus": "tagged", "tagPatternList": ["*"], "countType": "imageCountMoreThan", "countNumber": KEPT,
    }  # fmt: skip
    return {
        "rules": [
            {"rulePriority": number, "description": what, "selection": selection, "action": {"type": "expire"}}
            for number, (what, selection) in enumerate((("untagged", untagged), ("oldest", oldest)), start=1)
        ]
    }


def pull_policy(home: Home, readers: tuple[str, ...]) -> dict[str, object]:
    """Return who may pull besides the account's roles: its functions, and accounts that images are promoted to."""
    actions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    functions: dict[str, object] = {
        "Sid": "Functions",
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": actions,
        "Condition": {"StringLike": {"aws:sourceArn": home.arn("lambda", f"function:{home.project}-*")}},
    }
    accounts: dict[str, object] = {
        "Sid": "Promotion",
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{account}:root" for account in readers]},
        "Action": actions,
    }
    return {"Version": "2012-10-17", "Statement": [functions, *([accounts] if readers else [])]}
