"""The drill of an embedded environment: backed up in use, lost, restored elsewhere; it then trains, releases, serves."""

import shutil
import sys
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
import urllib3

from tests.conftest import NOW
from tests.e2e.conftest import Mlops, running
from tests.problems import parcels

pytestmark = pytest.mark.slow


@pytest.fixture
def timed(capsys):
    """Print how long each part of the drill takes."""

    @contextmanager
    def part(name):
        started = time.perf_counter()
        yield
        with capsys.disabled():
            sys.stdout.write(f"\n  {name}: {time.perf_counter() - started:.1f} s")

    return part


def asked(served):
    rows = parcels.read("parcels", NOW, NOW + timedelta(days=1)).drop_columns(["recipient"]).to_pylist()
    rows = [{**row, "asked_at": row["asked_at"].isoformat()} for row in rows]
    answer = urllib3.request("POST", f"{served.url}/invocations", json={"instances": rows}, timeout=30)
    assert answer.status == 200, answer.data
    return [(one["prediction"], one["model_version"]) for one in answer.json()["predictions"]]


def test_a_lost_environment_is_restored_elsewhere_and_goes_on(released, tmp_path, timed):
    home, backup, elsewhere = released.settings.home, tmp_path / "backup", tmp_path / "elsewhere"
    with running(home) as served:
        before = asked(served)
        with timed("back up, and verify the copy"):
            done = Mlops(home)("backup", str(backup))
    assert (done.code, "3 transitions, 1 models, 5 tables, all verified" in done.out) == (0, True), done.err
    shutil.rmtree(home)

    with timed("restore"):
        shutil.copytree(backup, elsewhere)
        shutil.rmtree(backup)
    mlops = Mlops(elsewhere)
    with timed("verify the release log"):
        assert [one["phase"] for one in mlops("releases", "--json").json] == ["promoted"]
    with timed("serve, and answer as before"), running(elsewhere) as served:
        assert asked(served) == before
    with timed("rebuild the online store and MLflow"):
        (elsewhere / "online.db").unlink()
        shutil.rmtree(elsewhere / "mlflow")
        done = mlops("recover")
        assert (done.code, "1 model versions offered to MLflow" in done.out) == (0, True), done.err
    with timed("bring new days, and train"):
        done = mlops("run", "feature", "--set", "start=2024-02-25", "--set", "end=2024-03-03")
        assert done.code == 0, done.err
        done = mlops("run", "training", "--set", "as_of=2024-03-03", "--set", "reason=after the drill", "--json")
        assert (done.code in (0, 3), done.json["output"]["version"]) == (True, 2), done.err
    with timed("release, and serve"):
        for command in (["propose", "v2", "--strategy", "all-at-once", "--override", "drill"], ["approve"], ["deploy"]):
            done = mlops(*command, "--as-of", "2024-03-03")
            assert done.code == 0, done.err
        with running(elsewhere) as served:
            assert {version for _, version in asked(served)} == {2}
