"""The local environment by Pulumi's own engine, its state and the key of its secrets in a folder of this machine."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from infra.local.emulator import start, stop
from infra.local.secrets import fresh
from infra.program import LOCAL, NAMESPACE, ROOT, wanted_local
from pipelines.config.errors import UserError

_SECRETS = f"{NAMESPACE}secrets"


def by_pulumi(verb: str, given: Mapping[str, str], here: str, folder: Path) -> None:
    """Run ``pulumi up`` or ``pulumi destroy``, in ``folder`` unless ``PULUMI_BACKEND_URL`` names another place.

    Pulumi reads a copy of the stack's file, which holds the secrets besides, encrypted: the repository holds none.

    Raises:
        UserError: when a command of Pulumi fails.
    """
    names = wanted_local({**given, _SECRETS: json.dumps(fresh())}).names
    folder.mkdir(parents=True, exist_ok=True)
    if verb == "up":
        start(here, names.account, folder)
    file = folder / f"Pulumi.{LOCAL}.yaml"
    before = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    encrypted = {key: value for key, value in before.get("config", {}).items() if key == _SECRETS}
    plain = {key: json.loads(value) if value[:1] in "[{" else value for key, value in given.items()}
    file.write_text(yaml.safe_dump({**before, "config": {**plain, **encrypted}}), encoding="utf-8")
    environ = {**_defaults(here, folder), **os.environ}

    def pulumi(*arguments: str, within: Path = ROOT / "infra", text: str | None = None) -> None:
        command = ["pulumi", *arguments, "--non-interactive"]
        done = subprocess.run(command, cwd=within, env=environ, input=text, text=True, check=False)
        if done.returncode:
            raise UserError(f"'{' '.join(command)}' failed with {done.returncode}; it says why above")

    # `pulumi stack` has no --config-file, and writes the salt of the secrets beside the project's file.
    shutil.copy(ROOT / "infra/Pulumi.yaml", folder)
    pulumi("stack", "select", "--create", LOCAL, within=folder)
    stated = ("--stack", LOCAL, "--config-file", str(file))
    if not encrypted:
        for name, value in fresh().items():
            pulumi("config", "set", "--secret", "--path", f"{_SECRETS}.{name}", *stated, text=value)
    pulumi("up" if verb == "up" else "destroy", "--yes", "--skip-preview", *stated)
    if verb == "down":
        stop(folder)


def _defaults(here: str, folder: Path) -> dict[str, str]:
    """Return the variables of Pulumi and of the SDK of AWS, where the environment has none."""
    phrase = folder / "passphrase"
    if not phrase.exists():
        phrase.touch(mode=0o600)
        phrase.write_text(secrets.token_urlsafe(24))
    return {
        # Without the files of attributes, which a kill may cut off so that Pulumi reads the state no more.
        "PULUMI_BACKEND_URL": f"file://{folder}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(phrase),
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL": here,
    }
