"""A full disk: the app answers, a rollback works, and no answer goes missing from the log in silence."""

import contextlib
import errno
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.adapters.local.objects import FileObjects
from pipelines.config import AllAtOnce, Variant
from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, start
from tests.conftest import NOW, make_platform
from tests.e2e.conftest import Mlops, running
from tests.e2e.load import ask, logged_ids, one, several, until

FLUSH_ROWS = 2_000
COMMANDS = (
    ["status"],
    ["status", "--json"],
    ["releases"],
    ["explain", "v1"],
    ["rollback", "--reason", "a test"],
    ["monitor", "--as-of", "2024-02-28"],
    ["predict", "--as-of", "2024-02-20", "--output", "{disk}/predictions.parquet"],
    ["run", "feature", "--set", "start=2024-02-25", "--set", "end=2024-02-26"],
    ["run", "training", "--set", "as_of=2024-02-25"],
    ["data", "migrate"],
)


@pytest.fixture
def disk(tmp_path):
    """A file system of eight megabytes; to make one takes root, as in a container."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system that is full cannot be made here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def home(released_home, disk):
    return Path(shutil.copytree(released_home, disk / "home"))


def fill(folder: Path) -> Path:
    """Leave no byte free; return the file whose removal frees them."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert shutil.disk_usage(folder).free == 0
    return ballast


def ask_until_refused(served):
    """Return the ids of what was answered, and the refusal."""
    answered = []
    while (answer := ask(served, body=several(1000))).status == 200:
        answered += [row["prediction_id"] for row in answer.json()["predictions"]]
        assert len(answered) <= 12 * FLUSH_ROWS, "what waits in memory is bounded"
    return answered, answer


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_app_on_a_full_disk_tells_at_its_end_what_is_lost(home, disk, workers):
    fill(disk)
    with running(home, "--workers", workers, flush_rows=FLUSH_ROWS) as served:
        answered, refusal = ask_until_refused(served)
        assert refusal.status == 503
        assert "No space left on device" in refusal.json()["detail"]
        served.process.terminate()
        _, told = served.process.communicate(timeout=40)
    lost = set(answered) - logged_ids(served)
    assert len(lost) > FLUSH_ROWS
    assert served.process.returncode == 1
    said = [line for line in told.splitlines() if "they are lost" in line]
    assert sum(int(line.split()[0].replace(",", "")) for line in said) == len(lost), told
    assert "RATCHET_SPILL" in said[0]
    assert "Traceback" not in told


def test_what_a_full_store_did_not_take_is_spilled_and_taken_back(home, disk, tmp_path):
    ballast, spill = fill(disk), tmp_path / "spill"
    with running(home, flush_rows=FLUSH_ROWS, spill=spill) as served:
        answered, _ = ask_until_refused(served)
        served.process.terminate()
        _, told = served.process.communicate(timeout=40)
    assert served.process.returncode == 1
    assert f"they are in {spill}" in told, told
    ballast.unlink()
    with running(home, "--workers", "2", spill=spill) as served:
        until(lambda: logged_ids(served) == set(answered))
        until(lambda: not list(spill.rglob("*.parquet")))


def test_a_place_to_spill_that_cannot_be_written_is_told(home, disk):
    fill(disk)
    with running(home, flush_rows=FLUSH_ROWS, spill=disk / "spill") as served:
        ask_until_refused(served)
        served.process.terminate()
        _, told = served.process.communicate(timeout=40)
    assert served.process.returncode == 1
    assert "they are lost, as" in told


def test_a_rollback_works_on_a_full_disk_and_reaches_the_app(home, disk):
    platform = make_platform(home)
    first = platform.releases.state().champion
    model, version, _ = plant_failing_model(platform.models, first.model, "weight")
    file = propose_model(
        platform.models,
        platform.releases.state(),
        Variant(model=model, version=version),
        AllAtOnce(),
        override="a test",
    )
    for step in (propose, approve, start):
        step(platform.release_target, Actor("tester", NOW), file)
    with running(home, poll_seconds=0.05) as served:
        fill(disk)
        assert ask(served, body=one()).json()["model_version"] == version
        done = Mlops(home)("rollback", "--champion", "--reason", "a test")
        assert done.code == 0, done.err
        until(lambda: ask(served, body=one()).json()["model_version"] == first.version)
    assert platform.releases.state().champion == first


def test_every_command_works_on_a_full_disk_or_says_why_not_in_a_line(home, disk):
    mlops = Mlops(home)
    fill(disk)
    for command in COMMANDS:
        done = mlops(*(word.format(disk=disk) for word in command))
        assert done.code in {0, 1, 3}, done
        errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == (done.code == 1 or "rollback" in command), done.err
        assert "Traceback" not in done.err
        if done.code == 1:
            assert "no space is left" in errors[0], done.err


def test_only_releases_write_into_the_space_in_reserve(disk):
    objects = FileObjects(disk)
    objects.write("releases/1", b"first")
    ballast = fill(disk)
    with pytest.raises(OSError, match="No space left") as refused:
        objects.write("runs/1", b"second")
    assert refused.value.errno == errno.ENOSPC
    for number in range(20):
        objects.write(f"releases/{number}", bytes(10_000))
    with pytest.raises(OSError, match="No space left"):
        objects.write("releases/large", bytes(2**19))
    with pytest.raises(OSError, match="No space left"):
        objects.write("runs/1", b"second")
    ballast.unlink()
    objects.write("releases/21", b"last")
    assert (disk / ".tmp-reserve").stat().st_size == 2**19
    assert len(objects.keys("")) == 21
