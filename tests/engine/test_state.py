"""The state of the bootstrap, moved into the bucket and back; S3 and KMS are the emulator's, as Pulumi asks them itself."""

import json

import pytest

from tests.engine.conftest import logged_in
from tests.engine.engine import Engine
from tests.engine.test_bootstrap import HERE, bootstrapped

pytestmark = pytest.mark.engine
SETTING, SECRET = "bootstrap:secrets_of_somebody", "of-nobody-else"


def moved(engine: Engine, *arguments: str) -> str:
    """Move the state, and return where Pulumi is logged in then."""
    engine.run("sh", "move_state.sh", "main", *arguments, within=HERE)
    return str(json.loads(engine.pulumi("whoami", "--json", within=HERE))["url"])


def test_a_state_moves_into_the_bucket_and_back_with_its_secrets(engine, home):
    engine = bootstrapped(engine)
    engine.up("main", within=HERE)
    engine.pulumi("config", "set", "--secret", SETTING, SECRET, "--stack", "main", within=HERE)
    before = engine.things("main", within=HERE)
    settings = engine.checkout / HERE / "Pulumi.main.yaml"
    engine = logged_in(engine, home)
    for arguments, url, provider in (((), "s3://", "secretsprovider: awskms://"), (("back",), "file://", "salt: ")):
        assert moved(engine, *arguments).startswith(url)
        assert engine.things("main", within=HERE) == before
        assert provider in settings.read_text()
        assert engine.pulumi("config", "get", SETTING, "--stack", "main", within=HERE).strip() == SECRET
        kept = settings.read_text()
        engine.pulumi("config", "rm", SETTING, "--stack", "main", within=HERE)  # which the program does not know
        engine.up("main", "--expect-no-changes", within=HERE)
        settings.write_text(kept)


def test_a_move_that_was_stopped_anywhere_is_done_by_running_it_again(engine, home, tmp_path):
    engine = bootstrapped(engine)
    engine.up("main", within=HERE)
    before = engine.things("main", within=HERE)
    engine = logged_in(engine, home)
    stops = tmp_path / "stops"
    stops.mkdir()
    for command in ("change-secrets-provider", "export", "select", "import", "login", "rm"):
        script = f'case "$*" in *"{command}"*) exit 9;; esac\nexec {engine.bin}/pulumi "$@"\n'
        (stops / "pulumi").write_text(f"#!/bin/sh\n{script}")
        (stops / "pulumi").chmod(0o755)
        engine.run(
            "env", f"PATH={stops}:{engine.variables['PATH']}", "sh", "move_state.sh", "main", within=HERE, code=9
        )
    assert moved(engine).startswith("s3://")
    assert engine.things("main", within=HERE) == before
    engine.up("main", "--expect-no-changes", within=HERE)
