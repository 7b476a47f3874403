"""Deletes what is left of an environment after ``pulumi destroy``: ``python -m infra.tools.leftovers dev --delete``.

Every update keeps the old endpoint configurations and their models, so that a rollback finds them; this command deletes
them. AWS keeps deleted KMS keys for 7 days; they are listed, and are no fault.
"""

import argparse
import re
from typing import Any, NamedTuple

import boto3

from infra.aws.components.serving import KEPT
from infra.names import Names
from infra.program import stated, wanted
from pipelines.config.errors import Refused


class Left(NamedTuple):
    """The leftovers: ARNs that should not exist, and those of keys that AWS deletes later."""

    things: list[str]
    keys: list[str]


def left(names: Names) -> Left:
    """Return the resources with the environment's tags."""
    tagging = boto3.client("resourcegroupstaggingapi", region_name=names.region)
    filters = [{"Key": key, "Values": [value]} for key, value in names.tags.items()]
    pages = tagging.get_paginator("get_resources").paginate(TagFilters=filters)
    found = sorted(one["ResourceARN"] for page in pages for one in page["ResourceTagMappingList"])
    kms = boto3.client("kms", region_name=names.region)
    keys = [arn for arn in found if ":kms:" in arn and _going(kms, arn)]
    return Left([arn for arn in found if arn not in keys], keys)


def delete_configurations(names: Names) -> list[str]:
    """Delete the endpoint configurations and models that updates kept, and return their names.

    Raises:
        Refused: while there is an endpoint, which needs one of them.
    """
    sagemaker = boto3.client("sagemaker", region_name=names.region)
    if sagemaker.list_endpoints(NameContains=names.prefix)["Endpoints"]:
        raise Refused(f"endpoint {names.prefix} still exists: run 'pulumi destroy' first")
    ours = re.compile(rf"{re.escape(names.of(KEPT))}-[0-9a-f]{{7}}")
    configurations = _listed(sagemaker, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", names, ours)
    models = _listed(sagemaker, "list_models", "Models", "ModelName", names, ours)
    for name in configurations:
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
    for name in models:
        sagemaker.delete_model(ModelName=name)
    return [*configurations, *models]


def _listed(sagemaker: Any, verb: str, items: str, key: str, names: Names, ours: re.Pattern[str]) -> list[str]:
    pages = sagemaker.get_paginator(verb).paginate(NameContains=names.prefix)
    return [one[key] for page in pages for one in page[items] if ours.fullmatch(one[key])]


def _going(kms: Any, arn: str) -> bool:
    return bool(kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "PendingDeletion")


def main() -> int:
    """List what is left, and with ``--delete`` delete what updates kept; the exit code says whether anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment")
    parser.add_argument("--delete", action="store_true")
    arguments = parser.parse_args()
    plan = wanted(arguments.environment, stated(arguments.environment))
    if arguments.delete:
        if plan.config.production:
            raise Refused(f"{arguments.environment} is production, whose configurations are kept")
        for name in delete_configurations(plan.names):
            print("deleted", name)  # noqa: T201
    things, keys = left(plan.names)
    for arn in keys:
        print("AWS deletes later:", arn)  # noqa: T201
    for arn in things:
        print("left:", arn)  # noqa: T201
    return 1 if things else 0


if __name__ == "__main__":
    raise SystemExit(main())
