"""An update that was killed in the middle, and docs/runbook.md's way back."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.engine.conftest import add_stack
from tests.engine.engine import Engine
from tests.engine.pages import commands

pytestmark = pytest.mark.engine
QUIET_SECONDS = 4
STATE = "state/.pulumi/stacks/infra/dev.json"


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


def pending(engine: Engine) -> list[dict[str, str]]:
    """Return the resources that an update was making when it ended."""
    exported = json.loads(engine.pulumi("stack", "export", "--stack", "dev"))
    return [one["resource"] for one in exported["deployment"].get("pending_operations", [])]


def test_an_update_that_was_killed_is_recovered_as_the_runbook_says(engine):
    add_stack(engine, "dev")
    kill_an_update(engine, engine.folder / STATE)
    assert "pulumi cancel" in engine.up("dev", code=1)
    (table,) = engine.cloud.glob("dynamodb_table_Table@*")
    there = json.loads(table.read_text())
    assert [one["urn"] for one in pending(engine)] == [there["urn"]]
    enter, *lines = (line.replace("prod", "dev") for line in commands("runbook", "A killed update"))
    assert "already existing table" in engine.typed(enter, *lines, code=1)
    assert pending(engine) == [] and there["urn"] not in engine.things("dev")
    table.unlink()  # as the page has somebody do on AWS
    engine.typed(enter, lines[-1])
    engine.up("dev", "--expect-no-changes")
    assert len(engine.remains()) == len(engine.things("dev"))


def test_pulumi_takes_in_nothing_of_what_a_killed_update_made(engine):
    """Were it to do so, the page could name the flag in place of a deletion."""
    add_stack(engine, "dev", letter="")
    kill_an_update(engine, engine.folder / STATE)
    engine.pulumi("cancel", "--yes", "--stack", "dev")
    (made,) = pending(engine)
    (table,) = engine.cloud.glob("dynamodb_table_Table@*")
    flags = [f"--import-pending-creates={one}" for one in (made["urn"], json.loads(table.read_text())["id"])]
    engine.pulumi("refresh", "--yes", "--skip-preview", *flags, "--stack", "dev")
    assert pending(engine) == [] and made["urn"] not in engine.things("dev")


@pytest.mark.parametrize(
    ("cut", "says", "mended"), [(".attrs", "checkpoint: EOF", None), ("", "unexpected end of JSON input", ".bak")]
)
def test_a_state_in_a_folder_that_was_cut_off_is_mended(environment, cut, says, mended):
    engine = environment("dev")
    state = engine.folder / STATE
    before = engine.things("dev")
    with Path(f"{state}{cut}").open("r+b") as file:
        file.truncate(0 if cut else state.stat().st_size // 2)
    assert f"failed to load {says}" in engine.up("dev", code=None).replace("checkpoint: place 1: ", "")
    if mended:
        shutil.copy(f"{state}{mended}", state)
    else:
        Path(f"{state}{cut}").unlink()
    engine.up("dev", "--expect-no-changes")
    assert engine.things("dev") == before
