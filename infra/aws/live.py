"""Reads from SageMaker which configuration an endpoint serves with."""

import boto3


def configuration(region: str, endpoint: str) -> str:
    """Return the name of the configuration that the endpoint has."""
    return str(
        boto3.client("sagemaker", region_name=region).describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    )
