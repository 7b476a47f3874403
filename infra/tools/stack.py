"""Runs Pulumi on a stack for the workflows: ``python -m infra.tools.stack up dev``, preview, drift, destroy, expired.

Pulumi does the work, and its lock on the state keeps two runs apart. This module chooses the environment's image,
applies the policies, and writes the report for people.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import boto3
import yaml

from infra.aws.components.serving import DIMENSION
from infra.aws.config import RealTime
from infra.program import NAMESPACE, ROOT, stated, wanted
from pipelines.config.errors import Refused, UserError
from pipelines.config.release import ReleaseFile
from pipelines.config.strict import load_toml

POLICIES = ("--policy-pack", "policies")
RELEASE = "release"
"""Stands for the image that the environment's release file pins."""
SCALABLE = "aws:appautoscaling/target:Target"
_QUIET = ("--non-interactive", "--color", "never")
_LONGEST = 55_000  # characters of a report: GitHub takes 65,536 in a comment or an issue


def pulumi(environment: str, *arguments: str, config: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run Pulumi on a stack, its output passed on and kept; progress of resources goes to the same place.

    Pulumi writes what it is told into the file of its configuration, so it gets a copy: a checkout stays as it is.

    Args:
        environment: the stack.
        arguments: of the command line.
        config: what the stack's file does not state, by key.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"Pulumi.{environment}.yaml"
        document = yaml.safe_load((ROOT / "infra" / file.name).read_text(encoding="utf-8"))
        document["config"] = {**document.get("config", {}), **config}
        file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        command = ["pulumi", *arguments, "--config-file", str(file), "--stack", environment, *_QUIET]
        lines = []
        with _started(command, stderr=subprocess.STDOUT) as process:
            for line in process.stdout or ():
                sys.stdout.write(line)
                lines.append(line)
    return subprocess.CompletedProcess(command, process.returncode, "".join(lines))


def _asked(environment: str, *arguments: str) -> Any:
    """Return the JSON that a command of Pulumi about the state of a stack prints; such take no configuration."""
    with _started(["pulumi", "stack", *arguments, "--stack", environment, *_QUIET], stderr=subprocess.PIPE) as process:
        told, fault = process.communicate()
    if process.returncode:
        raise UserError(f"pulumi does not say what {environment} has: {fault.strip()}")
    return json.loads(told)


def _started(command: list[str], stderr: int) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(command, cwd=ROOT / "infra", stdout=subprocess.PIPE, stderr=stderr, text=True)
    except FileNotFoundError as error:
        raise UserError("pulumi is not on the path: https://www.pulumi.com/docs/install") from error


def image(environment: str, wish: str) -> str | None:
    """Return the full name of the image that an environment is to run.

    Args:
        environment: the stack.
        wish: a digest; ``release`` for the one of the release file; empty for the one that the stack has.
    """
    if wish == RELEASE:
        wish = load_toml(ROOT / f"releases/{environment}.toml", ReleaseFile).image or ""
    if not wish:
        return _present(environment)
    names = wanted(environment, stated(environment)).names
    return f"{names.registry}/{names.project}@{wish}"


def _present(environment: str) -> str | None:
    found: str | None = _asked(environment, "output", "--json").get("image")
    return found


def protected(environment: str) -> list[str]:
    """Return the URNs of what the state of a stack protects from deletion."""
    resources = _asked(environment, "export")["deployment"].get("resources") or []
    return sorted(one["urn"] for one in resources if one.get("protect"))


def move(verb: str, environment: str, wish: str) -> subprocess.CompletedProcess[str]:
    """Carry out a verb of the command line on a stack.

    Raises:
        Refused: for the destruction of production, or of a stack that holds protected resources.
    """
    if verb == "destroy":
        if wanted(environment, stated(environment)).config.production:
            raise Refused(f"{environment} is production, which no workflow destroys")
        if kept := protected(environment):
            raise Refused(
                f"{environment} holds {len(kept)} protected resources, and nothing was deleted: {', '.join(kept)}."
                f" Where they may go, 'pulumi state unprotect --all --stack {environment}' says so"
            )
    anew = ["--refresh"] if verb == "up" and unscaled(environment) else []
    arguments = {
        "up": ["up", "--yes", *anew, *POLICIES],
        "preview": ["preview", "--diff", *POLICIES],
        "drift": ["preview", "--diff", "--refresh", "--expect-no-changes", *POLICIES],
        "destroy": ["destroy", "--yes", "--refresh"],
    }[verb]
    found = image(environment, wish)
    return pulumi(environment, *arguments, config={f"{NAMESPACE}image": found} if found else {})


def unscaled(environment: str) -> bool:
    """Take the endpoint off its scaling when its instances are to be of another type, and say whether.

    SageMaker changes no instance type of a variant that is a scalable target, and providers know no order in which that
    goes first (hashicorp/terraform-provider-aws 14337). An update that refreshes finds the scaling gone, and makes it
    again after the endpoint.
    """
    plan = wanted(environment, stated(environment))
    serving, resources = plan.config.serving, _asked(environment, "export")["deployment"].get("resources") or []
    wish = {serving.instance if isinstance(serving, RealTime) else None}
    targets = [one["inputs"]["resourceId"] for one in resources if one["type"] == SCALABLE]
    if not targets or _instances(resources) == wish:
        return False
    scaling = boto3.client("application-autoscaling", region_name=plan.names.region)
    for target in targets:
        with suppress(scaling.exceptions.ObjectNotFoundException):  # an update that failed took it away
            scaling.deregister_scalable_target(
                ServiceNamespace="sagemaker", ScalableDimension=DIMENSION, ResourceId=target
            )
    return True


def _instances(resources: Sequence[Mapping[str, Any]]) -> set[str | None]:
    """Return the instance types of the endpoint's present configuration, from the state of a stack."""
    return {
        variant.get("instanceType")
        for one in resources
        if one["type"].endswith(":EndpointConfiguration") and not one.get("delete")
        for variant in one["inputs"]["productionVariants"]
    }


def report(verb: str, environment: str, done: subprocess.CompletedProcess[str]) -> str:
    """Return what Pulumi said, in Markdown: the end of it where it is long, as the summary is there."""
    told = done.stdout if len(done.stdout) <= _LONGEST else f"…\n{done.stdout[-_LONGEST:]}"
    outcome = "succeeded" if done.returncode == 0 else f"failed with {done.returncode}"
    fence = "~" * (3 + max(map(len, re.findall("~+", told)), default=0))  # which nothing in the output ends
    return (
        f"### `{verb}` of {environment} {outcome}\n\n<details><summary>Output</summary>\n\n"
        f"{fence}diff\n{told}\n{fence}\n\n</details>\n"
    )


def expired(today: date) -> list[str]:
    """Return the environments whose files state a day of expiry that has come."""
    found = sorted(path.name.split(".")[1] for path in (ROOT / "infra").glob("Pulumi.*.yaml"))
    days = {name: stated(name).get("infra:expires") for name in found}
    return [name for name, day in days.items() if day and date.fromisoformat(day.strip('"')) <= today]


def chosen(name: str, again: str) -> list[str]:
    """Return the environment that a person chose to destroy.

    Raises:
        UserError: when the name that they gave once more is another.
    """
    if name != again:
        raise UserError(f"{again!r} is not {name!r}: give the environment's name once more to destroy it")
    return [name]


def main() -> int:
    """Move the stack that the arguments name; the exit code is Pulumi's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["up", "preview", "drift", "destroy", "expired"])
    parser.add_argument("environment", nargs="?", default="")
    parser.add_argument("--image", default="", help="a digest, or 'release'; default: the one that the stack has")
    parser.add_argument("--again", default="", help="the name once more, of the environment to destroy")
    parser.add_argument("--report", type=Path, help="where to write what Pulumi said, in Markdown")
    arguments = parser.parse_args()
    name = arguments.environment
    try:
        if arguments.verb == "expired":
            going = chosen(name, arguments.again) if name else expired(datetime.now(UTC).date())
            print(json.dumps(going))  # noqa: T201
            return 0
        done = move(arguments.verb, name, arguments.image)
    except UserError as error:
        parser.exit(1, f"error: {error}\n")
    if arguments.report:
        arguments.report.write_text(report(arguments.verb, name, done), encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
