"""Reads what an environment is made from: the stack's configuration, the project's files, what was rendered."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.aws.config import Config, parse
from infra.aws.environment import Wanted
from infra.local import config as local
from infra.local.environment import LocalWanted
from infra.names import Names
from pipelines.config.errors import UserError
from pipelines.config.strict import load_toml
from pipelines.contracts import Cloud
from pipelines.contracts.rendered import Rendered

ROOT = Path(__file__).parent.parent
NAMESPACE = "infra:"
LOCAL = "local"  # the stack that is in a cluster and on an emulator


def wanted(
    environment: str,
    given: Mapping[str, str],
    live: Callable[[str, str], str] | None = None,
    root: Path = ROOT,
    project: str | None = None,
) -> Wanted:
    """Return what the environment of a stack is made from; ``given`` is its configuration, as Pulumi hands it over.

    Raises:
        UserError: for what is wrong or missing in it.
    """
    config = parse(_keys(given), f"infra/Pulumi.{environment}.yaml")
    cloud, about = load_toml(root / "cloud.toml", Cloud), _about(root)
    names = Names(project or about["name"], environment, config.account, config.region or cloud.region)
    return Wanted(
        names=names,
        config=in_region(config, names),
        rendered=rendered(root / "infra/rendered"),
        max_monthly_usd=round(cloud.monthly_budget * config.budget_percent / 100, 2),
        contacts=config.contacts or tuple(author["email"] for author in about.get("authors", ()) if "email" in author),
        live=live,
    )


def wanted_local(given: Mapping[str, str], root: Path = ROOT, project: str | None = None) -> LocalWanted:
    """Return what the local environment is made from; arguments and errors as :func:`wanted`."""
    config = local.parse(_keys(given), f"infra/Pulumi.{LOCAL}.yaml")
    region = config.region or load_toml(root / "cloud.toml", Cloud).region
    names = Names(project or _about(root)["name"], LOCAL, config.account, region)
    return LocalWanted(names, config, rendered(root / "infra/rendered"))


def stated(environment: str, root: Path = ROOT) -> dict[str, str]:
    """Return what the stack's file states, as Pulumi would hand it over.

    Raises:
        UserError: when there is no such file.
    """
    path = root / f"infra/Pulumi.{environment}.yaml"
    if not path.exists():
        raise UserError(f"{path} does not exist: an environment is a stack, and has a file of its own")
    config = yaml.safe_load(path.read_text(encoding="utf-8")).get("config", {})
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def _keys(given: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(NAMESPACE): value for key, value in given.items() if key.startswith(NAMESPACE)}


def _about(root: Path) -> dict[str, Any]:
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(document["project"])


def in_region(config: Config, names: Names) -> Config:
    """Return the configuration, whose image is in the environment's region.

    Raises:
        UserError: when it is in another, from which SageMaker takes none.
    """
    if config.image and f".ecr.{names.region}." not in config.image:
        raise UserError(f"image: {config.image} is not in {names.region}; push it to that region's registry")
    return config


def rendered(folder: Path) -> Rendered:
    """Return the pipelines and alarms that ``mlops render`` wrote; none before it did."""
    file = folder / "pipelines.json"
    return Rendered.from_json(file.read_bytes()) if file.exists() else Rendered()
