"""Reads from SageMaker which configuration an endpoint serves with."""

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipelines.config.errors import UserError


def configuration(region: str, endpoint: str) -> str:
    """Return the name of the configuration that the endpoint has.

    Raises:
        UserError: when there is no such endpoint, or SageMaker does not answer.
    """
    try:
        found = boto3.client("sagemaker", region_name=region).describe_endpoint(EndpointName=endpoint)
    except (BotoCoreError, ClientError) as error:
        raise UserError(
            f"SageMaker in {region} does not say what endpoint {endpoint} serves with: {error}. 'pulumi refresh'"
            " records what is there; 'pulumi up' then makes what is missing"
        ) from error
    return str(found["EndpointConfigName"])
