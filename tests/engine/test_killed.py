"""An update that was killed in the middle, and docs/runbook.md's way back."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.engine.conftest import add_stack
from tests.engine.engine import Engine

pytestmark = pytest.mark.engine
QUIET_SECONDS = 4


def kill_an_update(engine: Engine, state: Path) -> None:
    """Kill an update of dev while AWS has made a table of which the state does not know, and all the rest waits."""
    variables = {**engine.variables, "ENGINE_HANGS": "dynamodb/table:Table"}
    command = ["pulumi", "up", "--yes", "--skip-preview", "--stack", "dev", "--non-interactive"]
    with subprocess.Popen(
        command, cwd=engine.checkout / "infra", env=variables, start_new_session=True, stdout=subprocess.DEVNULL
    ) as update:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            time.sleep(0.5)
            if (
                list(engine.cloud.glob("dynamodb_table_Table@*"))
                and time.time() - state.stat().st_mtime > QUIET_SECONDS
            ):
                break
        os.killpg(update.pid, signal.SIGKILL)


def test_an_update_that_was_killed_is_recovered_as_the_runbook_says(engine):
    add_stack(engine, "dev")
    kill_an_update(engine, engine.folder / "state/.pulumi/stacks/infra/dev.json")
    assert "pulumi cancel" in engine.up("dev", code=1)
    engine.pulumi("cancel", "--yes", "--stack", "dev")
    exported = json.loads(engine.pulumi("stack", "export", "--stack", "dev"))
    (pending,) = (one["resource"] for one in exported["deployment"]["pending_operations"])
    (table,) = engine.cloud.glob("dynamodb_table_Table@*")
    assert pending["urn"] == json.loads(table.read_text())["urn"]
    engine.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", "dev")
    assert "already existing table" in engine.up("dev", code=1)
    table.unlink()  # as somebody deletes it on AWS
    engine.up("dev")
    engine.up("dev", "--expect-no-changes")
    assert len(engine.remains()) == len(engine.things("dev"))
