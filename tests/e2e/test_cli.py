"""The path of a release through the command line, with its exit codes, and what it says to mistakes."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
import typer
import urllib3
from rich.text import Text
from typer.testing import CliRunner

from pipelines.bootstrap import pipeline
from pipelines.entrypoints.cli.__main__ import app
from pipelines.feature.labels import labelled_predictions
from tests.conftest import PROBLEMS, ROOT, make_platform
from tests.e2e.conftest import Mlops
from tests.problems import parcels


@pytest.fixture(scope="module")
def trained(tmp_path_factory, mlflow_database):
    """A home with history and a first candidate, all made by commands."""
    mlops = Mlops(tmp_path_factory.mktemp("cli"))
    shutil.copytree(mlflow_database, mlops.home / "mlflow")
    done = mlops("run", "feature", "--set", "start=2024-01-01", "--set", "end=2024-02-25")
    assert done.code == 0, done.err
    done = mlops("run", "training", "--set", "as_of=2024-02-25", "--set", "reason=first", "--run-id", "one", "--json")
    assert done.code == 0, done.err
    assert (done.json["run_id"], done.json["output"]["version"], done.json["output"]["accepted"]) == ("one", 1, True)
    return mlops


@pytest.fixture
def home(trained):
    """The trained home, in which nothing is released yet; what a test releases is taken back."""
    yield trained
    for folder in (trained.home / "store/releases", trained.home / "store/serving", trained.home / "releases"):
        shutil.rmtree(folder, ignore_errors=True)


def test_a_release_goes_from_proposal_to_service_and_back(home):
    assert home("propose", "v1").code == 0
    assert 'kind = "all-at-once"' in (home.home / "releases/dev.toml").read_text()
    assert home("approve", "--who", "ada").code == 0
    done = home("deploy", "--as-of", "2024-02-25")
    assert (done.code, "v1: takes all traffic at once" in done.out) == (0, True), done.err
    assert home("deploy", "--as-of", "2024-02-25").code == 0, "safe to run twice"
    state = home("status", "--json").json["release"]
    assert (state["phase"], state["champion"]["version"]) == ("promoted", 1)
    done = home("explain", "v1")
    assert "approve  v1 (by ada)" in done.out
    assert "champion_comparison" in done.out
    done = home("rollback", "--reason", "a test")
    assert (done.code, "the champion v1 serves: --champion takes it out" in done.err) == (3, True)
    done = home("rollback", "--reason", "a test", "--champion")
    assert (done.code, "no earlier champion" in done.err) == (3, True)


def test_the_versions_of_feature_views_are_listed_with_their_users(home):
    views = home("features", "--json").json
    assert [view["used_by"] for view in views] == [["model/"], ["model/"]]
    assert {view["until"] for view in views} == {"2024-02-25T00:00:00+00:00"}
    home("propose", "v1")
    (first, _) = home("features", "--json").json
    assert first["used_by"] == ["model/", "v1 proposed"]
    done = home("status")
    assert f"2024-02-25 00:00 {first['name']} v1 proposed" in " ".join(done.out.split())


def test_deploying_what_nobody_approved_is_refused(home):
    assert home("propose", "v1", "--strategy", "all-at-once").code == 0
    done = home("deploy", "--as-of", "2024-02-25")
    assert (done.code, "is not approved" in done.err) == (3, True)


def test_deploying_on_stale_features_is_refused(home):
    home("propose", "v1")
    home("approve")
    done = home("deploy", "--as-of", "2024-03-25")
    assert done.code == 3
    assert "feature view 'queue' was materialised up to 2024-02-25" in done.err


def test_a_worse_candidate_exits_with_3_and_cannot_be_proposed(home):
    home("propose", "v1")
    home("approve")
    home("deploy", "--as-of", "2024-02-25")
    done = home("run", "training", "--set", "as_of=2024-02-25", "--set", 'estimators=["baseline"]')
    assert done.code == 3
    version = re.search(r"version (\d+)", done.out)[1]
    done = home("propose", f"v{version}")
    assert (done.code, "did not pass its gates" in done.err) == (3, True)
    assert home("propose", f"v{version}", "--override", "we must").code == 0
    assert "we must" in home("explain", f"v{version}").out


def test_each_step_can_be_run_by_itself(home):
    days = ("--set", "start=2024-02-20", "--set", "end=2024-02-25")
    for number, step in enumerate(("extract", "validate", "ingest")):
        done = home("step", f"feature/{step}", "--run-id", "steps", *(days if number == 0 else ()))
        assert done.code == 0, done.err
    done = home("step", "feature/materialise", "--run-id", "steps")
    assert (done.code, "engineer" in done.err) == (1, True), "its input is not there yet"


@pytest.mark.slow
def test_a_training_by_single_steps_is_the_same_training(home):
    for number, step in enumerate(("pin", "extract", "prepare", "train", "evaluate", "run_gates", "register")):
        start = ("--set", "as_of=2024-02-25", "--set", "reason=first") if number == 0 else ()
        done = home("step", f"training/{step}", "--run-id", "steps", *start)
        assert done.code == 0, done.err
    models = {version["run_id"]: version for version in home("status", "--json").json["versions"]}
    onnx = [(home.home / f"store/models/{models[run]['model']}/model.onnx").read_bytes() for run in ("one", "steps")]
    assert onnx[0] == onnx[1]


def test_the_lineage_of_a_model_names_its_commit_and_its_data(home):
    found = home("lineage", "v1", "--json").json
    assert set(found["data"]) >= {"raw.parcels", "raw.deliveries"}
    assert found["run_id"] == "one"
    assert "snapshot" in home("lineage", "v1").out


def test_a_day_is_predicted_for_by_the_champion_or_the_model_that_is_named(home, tmp_path):
    output = tmp_path / "day.csv"
    day = ("predict", "--as-of", "2024-02-20", "--output", str(output))
    done = home(*day)
    assert (done.code, "'dev' has no champion; name a --model, or deploy one" in done.err) == (1, True)
    named = home(*day, "--model", "v1", "--json")
    assert named.code == 0, named.err
    assert (named.json["version"], named.json["rows"], named.json["resumed"]) == (1, 94, 0)
    lines = output.read_text().splitlines()
    assert (lines[0], len(lines)) == ('"key","event_time","prediction","model_version"', 95)
    home("propose", "v1")
    home("approve")
    home("deploy", "--as-of", "2024-02-25")
    assert "94 predictions of v1 in" in home(*day).out
    assert output.read_text().splitlines() == lines


def test_a_model_is_exported_into_a_folder_once(home, tmp_path):
    done = home("export", "v1", "--output", str(tmp_path / "v1"))
    assert (done.code, "predicts" in done.out) == (0, True), done.err
    assert (tmp_path / "v1/model.onnx").stat().st_size > 1000
    done = home("export", "v1", "--output", str(tmp_path / "v1"))
    assert (done.code, "holds something already" in done.err) == (1, True)
    assert home("export", "v1", "--output", str(tmp_path / "2"), "--json").json["schema"]["version"] == 1


MISTAKES = [
    (["run", "trainin"], 2, "there is no pipeline 'trainin'; did you mean 'training'?"),
    (["run", "training", "--set", "as_off=2024-01-01"], 2, "--set as_off: unknown key; did you mean 'as_of'?"),
    (["run", "training", "--set", "as_of=soon"], 2, "--set as_of: Input should be a valid datetime"),
    (["step", "training/trian", "--run-id", "one"], 2, "has no step 'trian'; did you mean 'train'?"),
    (["step", "training/train", "--run-id", "none"], 1, "there is no run 'none'"),
    (["run", "training", "--set", "as_of=2024-01-05"], 1, "too few as of 2024-01-05"),
    (["run", "training", "--set", 'estimators=["boost"]'], 1, "has no estimator 'boost'; did you mean 'boosting'?"),
    (["propose", "v99"], 1, "there is no model 'v99'"),
    (["propose", "v1", "--strategy", "yolo"], 2, "there is no strategy 'yolo'"),
    (["approve"], 1, "write it with 'mlops propose'"),
    (["lineage", "0" * 32], 1, "has no prediction"),
    (["report"], 1, "nothing was served in 'dev' yet"),
    (["predict", "--output", "x.csv"], 2, "give either --input FILE or --as-of DATE"),
    (["predict", "--as-of", "2024-02-20", "--output", "x.txt", "--model", "v1"], 2, "x.txt ends in neither .csv nor .parquet"),
    (["replay", "--url", "http://127.0.0.1:9", "--start", "2030-01-01", "--end", "2030-01-02"], 1, "has no requests from 2030-01-01"),
    (["--home"], 2, "requires an argument"),
    (["fly"], 2, "No such command 'fly'"),
    (["run", "feature", "--set", "start=2024-01-03", "--set", "end=2024-01-01"], 2, "is not before end"),
    (["run", "feature", "--set", "start=2024-01-01T13:00:00Z", "--set", "end=2024-01-03"], 2, "give midnights in UTC"),
    (["run", "training", "--set", "as_of=someday"], 2, "write a day or a moment, such as 2024-03-01"),
    (["run", "training", "--set", "as_of=2024-02-25", "--set", "estimators=nope"], 2, 'write a list, such as ["one'),
    (["run", "training", "--set", "as_of=2024-03-20"], 1, "there are no labelled requests in its periods"),
    (["run", "training", "--run-id", "../evil"], 2, "'../evil' is no run id"),
    (["-e", "../evil", "status"], 2, "--environment: String should match pattern"),
    (["compare", "v1", "v99"], 1, "there is no model 'v99'"),
    (["release", "report"], 1, "no release of this environment had a challenger"),
]  # fmt: skip


@pytest.fixture(scope="module")
def answers(trained):
    """How each mistake ended, all of them made in one process."""
    command, given = [sys.executable, "-m", "tests.e2e.commands"], json.dumps([arguments for arguments, *_ in MISTAKES])
    done = subprocess.run(
        command, cwd=ROOT, env=trained.environ, input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("number", "code", "message"), [(number, *told) for number, (_, *told) in enumerate(MISTAKES)])
def test_a_mistake_is_explained_without_a_traceback(home, answers, number, code, message):
    ended, said = answers[number]
    assert ended == code, said
    assert message in " ".join(said.split())
    assert "Traceback" not in said


def test_a_process_ends_as_its_command_does(home):
    done = home("run", "trainin")
    assert (done.code, done.err) == (2, "error: there is no pipeline 'trainin'; did you mean 'training'?\n")
    assert home("fly").code == 2


def test_a_setting_that_is_none_is_named(home, monkeypatch):
    monkeypatch.setitem(home.environ, "RATCHET_HOEM", "x")
    done = home("status")
    assert (done.code, "RATCHET_HOEM is no setting; did you mean 'home'?" in done.err) == (1, True)


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _ask(port, path, body=None):
    deadline = time.monotonic() + 60
    while True:
        try:
            method = "GET" if body is None else "POST"
            return urllib3.request(method, f"http://127.0.0.1:{port}{path}", body=body, retries=False, timeout=10)
        except urllib3.exceptions.HTTPError:
            assert time.monotonic() < deadline, "the app does not answer"
            time.sleep(0.05)


def test_the_app_waits_for_a_release_serves_it_and_stops_without_loss(home, port, monkeypatch):
    monkeypatch.setitem(home.environ, "RATCHET_POLL_SECONDS", "0.05")
    monkeypatch.setitem(home.environ, "RATCHET_FLUSH_SECONDS", "600")
    row = parcels.read("parcels", parcels.STRIKE, parcels.STRIKE.replace(day=5)).to_pylist()[0]
    body = msgspec.json.encode(row)
    process = home.start("serve", "--port", str(port))
    try:
        assert _ask(port, "/ping").json() == {"status": "ok", "release": None}
        reply = _ask(port, "/invocations", body)
        assert (reply.status, reply.headers["content-type"]) == (503, "application/problem+json")
        assert reply.json()["title"] == "No release"

        home("propose", "v1")
        home("approve")
        assert "confirmed by 1 of 1 instances" in home("deploy", "--as-of", "2024-02-25").out
        assert [_ask(port, path).json() for path in ("/ready", "/live")] == [
            {"status": "ok", "release": 3},
            {"status": "ok"},
        ]
        (instance,) = home("status", "--json").json["instances"]
        assert len(instance["code"].split(",")[0]) == 12
        assert (instance["standing"]["serves"], instance["standing"]["champion"]["version"]) == (3, 1)
        assert f"serves v1 (transition 3) with the code {instance['code']}" in home("status").out
        answer = _ask(port, "/invocations", body).json()
        assert (answer["model_version"], answer["variant"]) == (1, "champion")
        assert _ask(port, "/invocations", b'{"nonsense": 1}').status == 400
        assert _ask(port, "/nowhere").status == 404
        metrics = _ask(port, "/metrics").data.decode()
        assert 'predictions_total{variant="champion",version="1"} 1.0' in metrics
        assert 'refused_requests_total{status="400"} 1.0' in metrics
        assert "prediction_log_pending 1.0" in metrics
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    found = home("lineage", answer["prediction_id"], "--json")
    assert found.code == 0, "a stopped app has written what it answered"
    assert found.json["prediction"]["key"] == row["parcel_id"]
    assert home("status", "--json").json["instances"] == [], "a stopped app has said so"


def test_recorded_requests_are_replayed_and_get_their_labels_later(home, port, monkeypatch):
    monkeypatch.setitem(home.environ, "RATCHET_POLL_SECONDS", "0.05")
    home("propose", "v1")
    home("approve")
    home("deploy", "--as-of", "2024-02-25")
    replay = ("replay", "--url", f"http://127.0.0.1:{port}", "--start", "2024-02-23", "--end", "2024-02-24T12:00:00")
    process = home.start("serve", "--port", str(port))
    try:
        _ask(port, "/ping")
        done = home(*replay, "--rate", "20", "--batch", "10", "--json")
        assert done.code == 0, done.err
        expected = parcels.read("parcels", datetime(2024, 2, 23, tzinfo=UTC), datetime(2024, 2, 24, 12, tzinfo=UTC))
        found = done.json
        assert (found["failed"], found["failure"], found["predictions"]) == (0, None, expected.num_rows)
        assert found["requests"] == -(-expected.num_rows // 10)
        assert found["seconds"] >= (found["requests"] - 1) / 20
        assert 0 < found["p50"] <= found["p95"] <= found["p99"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    platform = make_platform(home.home)
    moments = datetime(2024, 2, 23, tzinfo=UTC), datetime(2024, 2, 25, tzinfo=UTC)
    rows = labelled_predictions(platform.problem, platform.tables, platform.predictions, *moments)
    assert rows["event_time"].to_pylist() == expected["asked_at"].to_pylist()
    assert rows["label"].null_count < expected.num_rows * 0.1, "all but lost parcels have their label by now"
    failed = home(*replay, "--batch", "100")
    assert (failed.code, "2 of 2 requests failed" in failed.err) == (1, True)


def test_help_is_there_for_every_command(mlops):
    text = mlops("--help").out
    commands = typer.main.get_command(app).commands
    assert set(commands) > {"demo", "doctor", "problem", "propose", "deploy", "predict", "release", "serve", "status"}
    for command in commands:
        assert re.search(rf"\b{command}\b", text), command
        done = CliRunner().invoke(app, [command, "--help"])
        assert (done.exit_code, "Usage: " in done.output) == (0, True), command


def test_no_help_loses_what_is_in_brackets():
    """Rich takes ``[name]`` for markup, and prints nothing of it."""

    def told(command: Any) -> Iterator[str | None]:
        yield command.help
        yield from (getattr(parameter, "help", None) for parameter in command.params)
        for inner in getattr(command, "commands", {}).values():
            yield from told(inner)

    texts = [text for text in told(typer.main.get_command(app)) if text]
    assert len(texts) > 100
    for text in texts:
        assert Text.from_markup(text).plain == text


def test_the_training_frame_is_written_for_a_notebook(home, tmp_path):
    output = tmp_path / "frames" / "first.parquet"
    done = home("data", "frame", str(output), "--as-of", "2024-02-25")
    assert done.code == 0, done.err
    learned = make_platform(home.home).runner.output(pipeline("training"), "extract", "one")
    assert pq.read_table(output).equals(learned)
    assert f"{learned.num_rows:,} rows" in done.out
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    none = home("data", "frame", str(output), "--as-of", "2023-01-01")
    assert (none.code, "no request has a label by 2023-01-01" in none.err) == (1, True)
    assert pq.read_table(output).equals(learned), "what was there stays"


def test_the_problem_package_is_chosen_by_the_environment(tmp_path):
    done = Mlops(tmp_path, PROBLEMS[1])("status", "--json")
    assert done.code == 0
    assert done.json["versions"] == []


def test_a_run_resumes_by_its_id_alone(home):
    first = home("run", "feature", "--set", "start=2024-01-01", "--set", "end=2024-01-02", "--run-id", "again")
    assert first.code == 0
    done = home("run", "feature", "--run-id", "again")
    assert (done.code, done.out.count("resumed, done already")) == (0, 5)
    done = home("run", "feature", "--set", "start=2024-01-01", "--set", "end=2024-01-03", "--run-id", "again")
    assert (done.code, "was started with another end" in done.err) == (1, True)
    done = home("run", "training", "--run-id", "again")
    assert (done.code, done.err) == (1, "error: run 'again' is a run of feature, not of training\n")


@pytest.mark.parametrize(
    "command", [("run", "training"), ("run", "feature"), ("run", "monitor"), ("train",), ("sweep", "boosting")]
)
def test_a_run_that_was_never_recorded_is_not_resumed(home, command):
    done = home(*command, "--run-id", "killed-early")
    assert (done.code, "there is no run 'killed-early' to resume; to start one" in done.err) == (1, True)
    assert "killed-early" not in home("status", "--json").out


def test_releases_are_listed_and_another_home_has_its_own_files(home):
    assert "no release yet" in home("releases").out
    assert home("propose", "v1").code == 0
    assert (home.home / "releases/dev.toml").exists()
    assert re.search(r"v1\s+all-at-once\s+proposed", home("releases").out)
    assert [one["version"] for one in home("releases", "--json").json] == [1]
    assert re.search(r"\S+ +\d of \d steps done", home("status").out)
