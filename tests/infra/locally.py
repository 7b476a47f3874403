"""The local environment to look at: as the program registers it, recorded once."""

import functools
import json

from infra.local.manifests import manifests
from infra.program import LOCAL, stated, wanted_local
from infra.tools.recording import record

SECRETS = {
    "access_key_id": "the-key-of-the-emulator",
    "secret_access_key": "the-secret-of-the-emulator",
    "alerts_token": "the-token-of-alertmanager",
    "grafana_password": "the-password-of-grafana",
}


def given(**changes):
    """Return the configuration of the repository's stack, with changes."""
    made = {"secrets": SECRETS, **changes}
    config = {**stated(LOCAL), **{f"infra:{key}": value for key, value in made.items()}}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def plan(project="thing", **changes):
    return wanted_local(given(**changes), project=project)


@functools.cache
def local():
    """Return what the program registers."""
    return record(plan())


@functools.cache
def objects():
    """Return the manifests, by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests(local())}


def changed(**changes):
    """Return the manifests with changes, by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests(record(plan(**changes)))}
