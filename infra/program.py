"""Reads what an environment is made from: the stack's configuration, the project's files, what was rendered."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from infra.config import Config, parse
from infra.environment import Wanted
from infra.names import Names
from pipelines.spec import Cloud, UserError, load_toml
from pipelines.spec.rendered import Rendered

ROOT = Path(__file__).parent.parent
NAMESPACE = "infra:"


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
    keys = {key.removeprefix(NAMESPACE): value for key, value in given.items() if key.startswith(NAMESPACE)}
    config = parse(keys, f"infra/Pulumi.{environment}.yaml")
    cloud = load_toml(root / "cloud.toml", Cloud)
    about = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = Names(project or about["name"], environment, config.account, config.region or cloud.region)
    return Wanted(
        names=names,
        config=in_region(config, names),
        rendered=rendered(root / "infra/rendered"),
        max_monthly_usd=round(cloud.monthly_budget * config.budget_percent / 100, 2),
        contacts=config.contacts or tuple(author["email"] for author in about.get("authors", ()) if "email" in author),
        live=live,
    )


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


def in_region(config: Config, names: Names) -> Config:
    """Return the configuration, whose image is in the environment's region.

    Raises:
        UserError: when it is in another, from which SageMaker takes none.
    """
    if config.image and f".ecr.{names.region}." not in config.image:
        raise UserError(f"image: {config.image} is not in {names.region}, and SageMaker takes none from elsewhere")
    return config


def rendered(folder: Path) -> Rendered:
    """Return the pipelines and alarms that ``mlops render`` wrote; none before it did."""
    file = folder / "pipelines.json"
    return Rendered.from_json(file.read_bytes()) if file.exists() else Rendered()
