"""An account and a repository to bootstrap in tests, and what was registered, as it reaches AWS."""

import json

from infra.bootstrap.program import bootstrap
from infra.bootstrap.scope import Home
from infra.bootstrap.settings import BootstrapSettings

ACCOUNT, REGION = "123456789012", "eu-west-1"
GITHUB = {"owner": "acme", "owner_id": 42, "repository": "fleet", "repository_id": 4711}
GIVEN = {"account": ACCOUNT, "environments": ["dev", "prod"], "github": GITHUB}
PEOPLE = {"trusted": [f"arn:aws:iam::{ACCOUNT}:root"]}
ROLE, POLICY = "aws:iam/role:Role", "aws:iam/policy:Policy"
ATTACHED = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"


def settings(**changes):
    given = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (GIVEN | changes).items()}
    return BootstrapSettings.parse({f"bootstrap:{key}": text for key, text in given.items()}, "Pulumi.main.yaml")


def program(project="fleet", **changes):
    return lambda: bootstrap(settings(**changes), Home(project, ACCOUNT, REGION))


def trust_of(registered, role):
    """Return the trust policy of a role, as its text."""
    return registered.of(ROLE)[role]["assumeRolePolicy"]


def document_of(registered, policy):
    """Return the document of a policy."""
    return json.loads(registered.of(POLICY)[policy]["policy"])


def documents_of(registered, role):
    """Return the documents of every policy that is attached to a role."""
    attached = [name for name, inputs in registered.of(ATTACHED).items() if inputs["role"] == role]
    return [document_of(registered, name) for name in attached]
