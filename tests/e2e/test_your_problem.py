"""Another problem in ``model/``, written from a sample file, and the whole loop on it with no other file touched.

The project's files are copied, ``model/`` is replaced by what ``mlops problem new`` wrote, and everything runs there.
"""

import hashlib
import shutil
import socket
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
import urllib3

from tests.e2e.conftest import wait_until_up
from tests.e2e.copied import Copied, copy_project
from tests.problems import bikes

pytestmark = pytest.mark.slow

SAMPLE_END = "2024-05-12"
FLAGS = {
    "--name": "bike-rentals",
    "--title": "Bikes rented in the next hour",
    "--owner": "fleet@example.com",
    "--key": "Station,asked at",
    "--event-time": "asked at",
    "--label": "rentals",
    "--label-delay": "1d",
    "--entities": "Station",
    "--over": "1",
    "--under": "3",
}


def _hashes(root: Path) -> dict[str, str]:
    """Return the digest of every file outside ``model/`` and the folders that a run makes."""
    made = {"model", ".ratchet", ".mypy_cache", ".ruff_cache", ".import_linter_cache", ".hypothesis", "__pycache__"}
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not made & set(path.relative_to(root).parts) and not path.name.startswith(".coverage.")
    }


@pytest.fixture(scope="module")
def copied(tmp_path_factory, mlflow_database):
    """A copy of the tracked files with the bikes in ``model/``, and the hashes of the files from before."""
    root = tmp_path_factory.mktemp("copy")
    copy_project(root)
    sample = tmp_path_factory.mktemp("sample") / "bikes.csv"
    bikes.sample().to_csv(sample, index=False)
    before, mlops = _hashes(root), Copied(root)
    shutil.copytree(mlflow_database, mlops.home / "mlflow")
    flags = [text for flag in FLAGS.items() for text in flag]
    new = ("problem", "new", "--sample", str(sample), "--no-input", *flags)
    refused = mlops(*new)
    assert (refused.code, "give --replace flight-delay to remove" in " ".join(refused.err.split())) == (1, True)
    assert (root / "model/tests/test_demo.py").exists(), "a refusal leaves what is there"
    written = mlops(*new, "--replace", "flight-delay")
    assert written.code == 0, written.err
    return mlops, before


@pytest.fixture(scope="module")
def released(copied):
    """The copy in which version 1 takes all traffic."""
    mlops, _ = copied
    for command in (
        ("run", "feature", "--set", "start=2024-04-01", "--set", f"end={SAMPLE_END}"),
        ("run", "training", "--set", f"as_of={SAMPLE_END}"),
        ("propose", "v1", "--as-of", SAMPLE_END),
        ("approve", "--as-of", SAMPLE_END),
        ("deploy", "--as-of", SAMPLE_END),
    ):
        done = mlops(*command)
        assert done.code == 0, (command, done.out, done.err)
    return mlops


def test_the_copy_runs_its_own_modules(copied):
    mlops, _ = copied
    where = mlops.python("-c", "import model, pipelines, tests; print(model.__file__, pipelines.__file__)").out.split()
    assert all(Path(path).is_relative_to(mlops.root) for path in where)


def test_what_was_written_is_sound_and_runs_its_own_tests(copied):
    mlops, _ = copied
    done = mlops("problem", "check", "--day", "2024-04-10")
    assert (done.code, "bike-rentals: regression" in done.out) == (0, True), done.out
    done = mlops.python("-m", "pytest", "model/tests", "-q", "--no-cov", "--numprocesses=0", "-p", "no:cacheprovider")
    assert done.code == 0, done.out


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "ruff", "check", "model"],
        ["-m", "ruff", "format", "--check", "model"],
        ["-m", "mypy", "-p", "model"],
        ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
    ],
    ids=["ruff", "format", "mypy", "layers"],
)
def test_what_was_written_keeps_the_rules_of_the_project(copied, command):
    mlops, _ = copied
    done = mlops.python(*command)
    assert done.code == 0, done.out + done.err


def test_the_addresses_in_the_sample_are_nowhere_in_the_package(copied):
    mlops, _ = copied
    rows = pq.read_table(mlops.root / "model/data/requests.parquet")
    assert rows["contact_e_mail"].null_count == rows.num_rows
    assert not any(b"keeper" in path.read_bytes() for path in (mlops.root / "model").rglob("*") if path.is_file())


def test_the_model_is_better_than_the_bar_and_says_by_how_much(released):
    told = released("explain", "v1").out
    assert told.count("✔") == 4, told
    manifest = released("status", "--json").json["versions"][0]
    assert (manifest["estimator"], manifest["accepted"]) == ("gradient_boosting", True)


def test_the_loop_goes_on_in_service_and_back(released):
    mlops = released
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    done = mlops("run", "training", "--set", f"as_of={SAMPLE_END}", "--set", 'estimators=["baseline"]')
    assert done.code == 3, "the linear model is not shown to be better than the trees"
    process = mlops.start("serve", "--port", str(port))
    try:
        wait_until_up(url)
        row = {"request_id": "Oper/now", "station": "Oper", "asked_at": "2024-05-12T17:00:00Z"}
        row |= {"temperature_c": 21.5, "rain": 0.0, "order_column": 3}
        reply = urllib3.request("POST", f"{url}/invocations", body=msgspec.json.encode(row))
        assert reply.status == 200, reply.data
        assert 5 < reply.json()["prediction"] < 40
        refused = urllib3.request("POST", f"{url}/invocations", body=msgspec.json.encode(row | {"rain": 1e6}))
        assert (refused.status, "rain" in refused.json()["detail"]) == (400, True)
        replay = ("replay", "--url", url, "--batch", "50", "--json")
        done = mlops(*replay, "--start", "2024-05-10", "--end", SAMPLE_END)
        assert (done.code, done.json["failed"]) == (0, 0), done.err
        assert mlops("run", "feature", "--set", f"start={SAMPLE_END}", "--set", "end=2024-05-15").code == 0
        # The second version is released over the gates, as a canary, so that there is something to judge and take back.
        assert mlops("propose", "v2", "--override", "to be taken back", "--as-of", SAMPLE_END).code == 0
        assert mlops("approve", "--as-of", SAMPLE_END).code == 0
        done = mlops("deploy", "--as-of", SAMPLE_END)
        assert done.code == 0, done.err
        done = mlops(*replay, "--start", SAMPLE_END, "--end", "2024-05-13")
        assert done.code == 0, done.err
    finally:
        process.terminate()
        process.communicate(timeout=30)
    done = mlops("release", "tick", "--as-of", f"{SAMPLE_END}T12:00:00")
    assert done.code == 0, done.err
    assert mlops("status", "--json").json["release"]["challenger"]["version"] == 2, "the bake lasts a day"
    done = mlops("release", "tick", "--as-of", "2024-05-14")
    assert done.code == 0, done.err
    assert "predictions" in done.out, "it was judged on what it answered"
    if "rolled back" not in done.out:
        live = mlops("status", "--json").json["release"]["challenger"]
        out = () if live else ("--champion",)
        done = mlops("rollback", "--reason", "it was worse", *out, "--as-of", "2024-05-14")
        assert done.code == 0, done.err
    state = mlops("status", "--json").json["release"]
    assert (state["champion"]["version"], state["challenger"]) == (1, None)
    done = mlops("monitor", "--as-of", "2024-05-14", "--json")
    assert done.code in {0, 3}, done.err
    measured = done.json["measured"]
    assert measured["labels"] > 100
    assert measured["coverage"] > 0.99, "all but the made-up request got their label"
    assert measured["quality"]["mae"] < 4


def test_no_file_outside_the_problem_was_touched(copied, released):
    mlops, before = copied
    after = _hashes(mlops.root)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()
    assert not (mlops.root / "model/tests/test_demo.py").exists()
