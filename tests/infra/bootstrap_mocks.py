"""An account and a repository to bootstrap in tests, and policies as they reach AWS."""

import json

from infra.bootstrap.program import bootstrap
from infra.bootstrap.scope import Home
from infra.bootstrap.settings import Settings

ACCOUNT, REGION = "123456789012", "eu-central-1"
GITHUB = {"owner": "acme", "owner_id": 42, "repository": "fleet", "repository_id": 4711}
GIVEN = {"account": ACCOUNT, "environments": ["dev", "prod"], "github": GITHUB}
ROLE, POLICY = "aws:iam/role:Role", "aws:iam/policy:Policy"


def settings(**changes):
    return Settings.parse(GIVEN | changes, "Pulumi.main.yaml")


def home(project="fleet"):
    return Home(project, ACCOUNT, REGION)


def program(project="fleet", **changes):
    return lambda: bootstrap(settings(**changes), home(project))


def policies_of(registered, role):
    """Return the documents of the policies of a role."""
    named = {name: json.loads(inputs["policy"]) for name, inputs in registered.of(POLICY).items()}
    return [
        named[name]
        for name in registered.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
        if name.startswith(f"{role}-")
    ]
