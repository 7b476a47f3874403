"""The endpoint's parts on moto, update after update, where SageMaker takes no name twice and nothing kept goes."""

import secrets

import boto3
import pytest
from moto import mock_aws

from infra.tools.leftovers import delete_configurations
from infra.tools.recording import record
from tests.infra.environments import REGION, image, plan

pytestmark = pytest.mark.infra


class Provider:
    """Makes models and configurations as the provider of AWS does: what has no name is given one.

    A resource is replaced when a property differs. The one before stays in SageMaker, and the stack forgets it.
    """

    def __init__(self, client):
        self.client, self.known = client, {}

    def __call__(self, resource):
        kind = resource.type.rpartition(":")[2]
        if kind not in {"Model", "EndpointConfiguration"}:
            return {}
        props, name = self.known.get(resource.urn, (None, None))
        if props != resource.props:
            name = resource.props.get("name", f"{resource.name}-{secrets.token_hex(4)[:7]}")
            getattr(self, kind)(name, resource.props)
            self.known[resource.urn] = resource.props, name
        return {"name": name}

    def Model(self, name, props):  # noqa: N802  (as the type is called)
        assert name not in self.models(), f"Cannot create already existing model {name}"
        self.client.create_model(
            ModelName=name,
            ExecutionRoleArn=props["executionRoleArn"],
            PrimaryContainer={"Image": props["primaryContainer"]["image"]},
        )

    def EndpointConfiguration(self, name, props):  # noqa: N802
        kept = self.client.list_endpoint_configs()["EndpointConfigs"]
        assert name not in {one["EndpointConfigName"] for one in kept}, f"Cannot create already existing {name}"
        (variant,) = props["productionVariants"]
        size = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        variants = [{"VariantName": variant["variantName"], "ModelName": variant["modelName"], **size}]
        self.client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)

    def models(self):
        return {one["ModelName"] for one in self.client.list_models()["Models"]}


@pytest.fixture
def provider(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield Provider(boto3.client("sagemaker", region_name=REGION))


def update(provider, stack="dev", **changes):
    """Update the stack; return the name of the configuration that the endpoint gets."""
    (endpoint,) = [one for one in record(plan(stack, **changes), made=provider) if one.type.endswith(":Endpoint")]
    return endpoint.props["endpointConfigName"]


def test_an_image_comes_back_after_another(provider):
    first, second, again = (update(provider, image=image(letter)) for letter in "aba")
    assert len({first, second, again}) == 3 and len(provider.models()) == 3
    assert len(delete_configurations(plan("dev").names)) == 6


def test_an_update_without_a_change_makes_nothing(provider):
    assert update(provider) == update(provider)
    assert len(provider.models()) == 1


def test_a_change_of_the_network_alone_replaces_the_model(provider):
    vpcs = [
        {"vpc": {"id": "vpc-1", "subnets": [f"subnet-{n}", "subnet-3"], "security_groups": ["sg-1"]}} for n in (1, 2)
    ]
    before, after, back = (update(provider, "staging", network="none", adopt=vpcs[one]) for one in (0, 1, 0))
    assert len({before, after, back}) == 3
