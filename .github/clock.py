"""Does a duty of the schedules in each of ENVIRONMENTS, in their order, within one job: ``make clock DUTY=follow``.

GitHub counts a job's minutes from one up, so a job for each environment would cost as many times more. On AWS each
environment has a role of its own, which trusts the job's token; VARIABLES are those of the repository, as JSON. What
fails in one environment keeps no other from its turn. Runs on any Python with its standard library alone.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Duty(NamedTuple):
    """What is run for an environment on AWS, with which role, and what where the state is beside the checkout."""

    role: str
    on_aws: tuple[str, ...]
    embedded: tuple[str, ...]


REPORTING = ("mlops github follow", "mlops github propose")
DUTIES = {
    # On AWS a function calls the release tick each minute.
    "follow": Duty("AWS_CLOCK_ROLE", REPORTING, ("mlops release tick", *REPORTING)),
    "propose": Duty("AWS_CLOCK_ROLE", REPORTING[1:], REPORTING[1:]),
    # On AWS the environment's own schedule monitors, and the role reads no predictions.
    "publish": Duty(
        "AWS_CLOCK_ROLE",
        ("mlops workflow publish --no-report site/{}",),
        ("mlops monitor --exit-zero", "mlops workflow publish site/{}"),
    ),
    "drift": Duty("AWS_PLAN_ROLE", ("make --no-print-directory infra-drift-issue",), ()),
}


def variables_of(environment: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the repository's variables that are of an environment, without its name in theirs."""
    end = f"_{environment.upper()}"
    return {name.removesuffix(end): value for name, value in variables.items() if name.endswith(end)}


def token(folder: Path) -> Path:
    """Return a file with a new token of this job, which AWS's libraries exchange for a role."""
    request = urllib.request.Request(  # noqa: S310  (GitHub sets the address)
        os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=sts.amazonaws.com",
        headers={"Authorization": f"Bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        file = folder / "token"
        file.write_text(json.load(answer)["value"], encoding="utf-8")
    return file


def done(duty: Duty, environment: str, own: Mapping[str, str], folder: Path) -> bool:
    """Run the commands of a duty for an environment, and return whether all succeeded."""
    told = {"ENV": environment, "RATCHET_ENVIRONMENT": environment}
    if role := own.get(duty.role):
        told |= {"RATCHET_PROFILE": "aws", "AWS_ROLE_ARN": role, "AWS_ROLE_SESSION_NAME": f"clock-{environment}"}
        told |= {name: own[name] for name in ("AWS_REGION", "PULUMI_BACKEND_URL") if name in own}
        told["AWS_DEFAULT_REGION"] = own["AWS_REGION"]  # what boto3 reads; the other is what Pulumi's provider does
    good = True
    for command in duty.on_aws if role else duty.embedded:
        words = [word.format(environment) for word in command.split()]
        print(f"{environment}: {' '.join(words)}", flush=True)  # noqa: T201
        if role:  # a token lasts for minutes, the role that a command takes by it for an hour
            told["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(token(folder))
        good &= subprocess.run(words, env={**os.environ, **told}, check=False).returncode == 0
    return good


def main(name: str) -> int:
    """Do a duty in every environment; the exit code says whether all of it succeeded."""
    environments, variables = json.loads(os.environ["ENVIRONMENTS"]), json.loads(os.environ.get("VARIABLES") or "{}")
    with tempfile.TemporaryDirectory() as folder:
        ended = [done(DUTIES[name], one, variables_of(one, variables), Path(folder)) for one in environments]
    return 0 if all(ended) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
