"""Checks of the quotas that the stacks need: how many instances AWS lets an account run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.config import UserError
from pipelines.config.strict import explain
from pipelines.contracts.quotas import quotas as needed_by
from pipelines.contracts.stack import TrainingResources
from pipelines.doctor.findings import Finding, ok, todo


def wanted(root: Path) -> dict[str, int]:
    """Return the quotas that ``infra/Pulumi.<stack>.yaml`` need: their names in Service Quotas, and instances at once.

    Raises:
        UserError: for invalid settings of training.
    """
    most: dict[str, int] = {}
    for path in sorted((root / "infra").glob("Pulumi.*.yaml")):
        stated = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("config") or {}
        if "infra:serving" not in stated:  # no environment on AWS
            continue
        serving = stated["infra:serving"]
        try:
            training = TrainingResources.model_validate(stated.get("infra:training") or {})
        except ValidationError as error:
            raise UserError("\n".join(f"{path}: {line}" for line in explain(error, TrainingResources))) from error
        for name, count in needed_by(training, serving.get("instance"), serving.get("max_instances", 2)).items():
            most[name] = max(count, most.get(name, 0))
    return most


def quotas(client: Any, needed: dict[str, int]) -> Iterator[Finding]:
    """Check the quotas of SageMaker; one that was never raised has its default.

    Args:
        client: of Service Quotas.
        needed: as :func:`wanted` returns it.
    """
    given: dict[str, dict[str, Any]] = {}
    for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
        for page in client.get_paginator(operation).paginate(ServiceCode="sagemaker"):
            given |= {quota["QuotaName"]: quota for quota in page["Quotas"]}
    for name, count in sorted(needed.items()):
        quota = given.get(name)
        if quota is None:
            yield todo("quota", f"{name}: AWS knows no such quota in this region; is the instance type offered there?")
        elif quota["Value"] < count:
            ask = (
                "aws service-quotas request-service-quota-increase --service-code sagemaker "
                f"--quota-code {quota['QuotaCode']} --desired-value {count}"
            )
            yield todo(
                "quota", f"{name}: {quota['Value']:g}, and {count} are needed; '{ask}' asks for it (hours to days)"
            )
        else:
            yield ok("quota", f"{name}: {quota['Value']:g}")
