"""Reads the document of an environment's stack, found by the names of the project and the environment."""

from typing import Any

import boto3
from pydantic import ValidationError

from pipelines.adapters.aws.clients import asking, client
from pipelines.config import UserError
from pipelines.config.strict import explain
from pipelines.contracts import Stack
from pipelines.contracts.stack import parameter_name


def read_stack(session: boto3.Session, project: str, environment: str) -> Stack:
    """Return the document of the environment's stack, an S3 object whose address is in an SSM parameter.

    Raises:
        UserError: when there is no stack, or its document is of another version of this project.
    """
    name = parameter_name(project, environment)
    ssm, s3 = client(session, "ssm", None), client(session, "s3", None)
    with asking("SSM"):
        try:
            address = ssm.get_parameter(Name=name)["Parameter"]["Value"]
        except ssm.exceptions.ParameterNotFound:
            raise UserError(
                f"{project!r} has no environment {environment!r} in {session.region_name}: there is no SSM parameter "
                f"{name}; provision it with 'pulumi up', or name another environment by -e"
            ) from None
    try:
        return Stack.from_json(_object(s3, address))
    except ValidationError as error:
        found = "; ".join(explain(error, Stack))
        raise UserError(f"{address} does not fit this version of the project ({found}); run 'pulumi up'") from error


def _object(s3: Any, address: str) -> bytes:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    with asking("S3"):
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()  # type: ignore[no-any-return]
