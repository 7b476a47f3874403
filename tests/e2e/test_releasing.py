"""Releases as people on call meet them: the commands, a running app, and what it answers over HTTP."""

import hashlib
import os
import signal
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from pipelines.config import CanaryStrategy, Variant
from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, propose, start
from pipelines.entrypoints.cli.__main__ import main
from pipelines.feature import FeatureParams
from pipelines.registry import carried
from tests.conftest import HISTORY, NOW, PROBLEMS, make_platform
from tests.definitions import POUNDS, ROWS, WEIGHTLESS, WIDER, edited, expected
from tests.e2e.conftest import Mlops, running
from tests.e2e.load import ask, logged, workers

DAY = timedelta(days=1)
AS_OF = ("--as-of", f"{NOW:%Y-%m-%d}")
CANARY = ("--strategy", "canary", "--set", "steps=[0.5]", "--set", "bake=1d")
WORDS = (
    ("How long the depot's queue was at its last scan.", "The queue of the depot."),
    ('"""Parcels on their way from three depots:', '"""Parcels that are on their way from three depots:'),
)
ASKED = ROWS.slice(0, 40).drop_columns(["recipient"]).to_pylist()
BODY = msgspec.json.encode({"instances": ASKED})


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Write ``model/`` anew with some changes, where processes of the test find it; return its name."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda *changes: edited(tmp_path, *changes)


@pytest.fixture
def on_call(released, monkeypatch, capsys):
    """Run commands on the home, in this process, which takes a tenth of the time; return what they say."""

    def run(*arguments, code=0, problem=PROBLEMS[0]):
        for name, value in Mlops(released.home, problem).environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["mlops", *arguments])
        ended = 0
        try:
            main()
        except SystemExit as done:
            ended = int(done.code or 0)
        said = "".join(capsys.readouterr())
        assert ended == code, said
        return " ".join(said.split())

    return run


def second(platform, problem=None):
    """Register v2 and materialise its features: the bytes of v1, with the definitions of a problem."""
    first = platform.models.versions()[1]
    manifest = platform.models.manifest(first)
    files = {name: platform.models.file(first, name) for name in manifest.files}
    update = {"champion_model": first, "reason": "a copy"}
    if problem:
        other = make_platform(platform.home, problem)
        files = {name: data for name, data in files.items() if not name.startswith(carried.FOLDER)}
        files |= carried.sources(other.problem)
        update |= {"feature_versions": carried.versions(other.problem)}
        other.run("feature", FeatureParams(start=HISTORY, end=NOW), "changed")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    platform.models.put(manifest.model_copy(update={**update, "files": hashes}), files)


def release(on_call, version, *how, problem=PROBLEMS[0]):
    """Propose, approve and deploy a version by commands."""
    given = {"problem": problem}
    on_call("propose", version, *how, *AS_OF, "--yes", **given)
    on_call("approve", *AS_OF, "--yes", **given)
    return on_call("deploy", *AS_OF, **given)


def answers(served):
    """Ask once, and return what each row got by its key."""
    reply = ask(served, body=BODY)
    assert reply.status == 200, reply.data
    return {row["parcel_id"]: one for row, one in zip(ASKED, reply.json()["predictions"], strict=True)}


def versions(served):
    return {answer["model_version"] for answer in answers(served).values()}


def is_right(served, predicted):
    """Whether each row is answered as its version predicts it from its own features."""
    return all(
        np.isclose(answer["prediction"], predicted[answer["model_version"]][key], rtol=0, atol=1e-6)
        for key, answer in answers(served).items()
    )


@pytest.mark.parametrize("changes", [WIDER, WORDS[:1], WORDS[1:]], ids=["window", "description", "docstring"])
def test_an_app_that_starts_after_definitions_changed_serves(released, changed, changes):
    problem = changed(*changes)
    with running(released.home, problem=problem) as served:
        for path in ("/ready", "/ping", "/live"):
            assert ask(served, path).status == 200
        assert ask(served, "/ready").json() == {"status": "ok", "release": 3}
        assert is_right(served, {1: expected(released, 1)})
    views = make_platform(released.home, problem).problem.views
    today = {view.versioned_name for view in released.problem.views}
    assert (today == {view.versioned_name for view in views}) == (changes is not WIDER), "words change no version"


def test_an_app_of_code_that_cannot_serve_is_alive_and_not_ready(released, changed, on_call):
    """A change of the code where nothing but processes is: the new one beside the old, which goes on."""
    problem = changed(*WEIGHTLESS)
    with running(released.home) as served, running(released.home, problem=problem, ready=False) as other:
        assert ask(other, "/live").status == 200
        for path in ("/ready", "/ping"):
            assert ask(other, path).status == 503
            assert "'weight', which requests do not carry any more" in ask(other, path).json()["status"]
        assert versions(served) == {1}
        told = on_call("status")
        assert "serves v1 (transition 3)" in told
        assert "serves nothing" in told
        assert "refused 3: its features are computed from 'weight'" in told


def test_what_a_running_app_cannot_serve_is_refused_unrecorded(released, changed, on_call):
    """The commands run on the code that v2 was trained on; one of two apps on code whose requests lack a field."""
    second(released)
    problem = changed(*WEIGHTLESS)
    number = released.releases.latest().number
    with running(released.home, poll_seconds=0.05) as served:
        with running(released.home, problem=problem, poll_seconds=0.05, ready=False):
            for how in (CANARY, ("--strategy", "all-at-once")):
                told = on_call("propose", "v2", *how, *AS_OF, "--yes", code=3)
                assert "v2 cannot be served: instance" in told
                assert "'weight', which requests do not carry any more" in told
            assert released.changed({}).releases.latest().number == number
        assert "confirmed by 1 of 1 instances" in release(on_call, "v2", "--strategy", "all-at-once")
        assert versions(served) == {2}
        told = on_call("rollback", "--champion", "--reason", "prices", *AS_OF, "--yes")
        assert "which falls back to nothing: no earlier champion that is not quarantined" in told
        assert versions(served) == {1}


def test_a_frozen_app_is_told_of_and_stops_no_release(released, on_call, monkeypatch, caplog):
    second(released)
    monkeypatch.setenv("RATCHET_CONFIRM_SECONDS", "2")
    with running(released.home, poll_seconds=0.05) as served:
        for worker in workers(served):
            os.kill(worker, signal.SIGSTOP)
        on_call("propose", "v2", *CANARY, *AS_OF, "--yes")
        for worker in workers(served):
            os.kill(worker, signal.SIGCONT)
        assert "did not say in time whether" in caplog.text
        assert released.changed({}).releases.latest().action == "propose"


def test_a_rollback_across_definitions_is_what_the_app_answers(released, changed, on_call):
    """As of the issue: v2 overridden, rolled back, and the app started anew; on the code that v2 was trained on."""
    problem = changed(*WIDER, POUNDS)
    second(released, problem)
    platform = make_platform(released.home, problem)
    predicted = {version: expected(platform, version) for version in (1, 2)}
    with running(released.home, problem=problem, poll_seconds=0.05) as served:
        told = release(on_call, "v2", "--strategy", "all-at-once", "--override", "it is needed today", problem=problem)
        assert "confirmed by 1 of 1 instances" in told
        assert versions(served) == {2}
        assert is_right(served, predicted)
        told = on_call("rollback", "--champion", "--reason", "prices", *AS_OF, "--yes", problem=problem)
        assert "roll back: v2 to v1: prices" in told
        assert "confirmed by 1 of 1 instances" in told
        assert versions(served) == {1}
        assert is_right(served, predicted)
        status = msgspec.json.decode(on_call("status", "--json", problem=problem))
        (instance,) = [one["standing"] for one in status["instances"] if not one["stopped"]]
        number = status["release"]["champion"]["version"]
        assert (number, instance["champion"]["version"], instance["error"]) == (1, 1, "")
    with running(released.home, problem=problem) as served:
        assert ask(served, "/ready").status == 200
        assert versions(served) == {1}
        assert is_right(served, predicted)


def test_the_second_rollback_of_two_people_leaves_the_champion(released, on_call):
    second(released)
    with running(released.home, poll_seconds=0.05) as served:
        release(on_call, "v2", *CANARY)
        assert versions(served) == {1, 2}
        first, again = (
            on_call("rollback", "--reason", "it errs", "--who", who, *AS_OF, "--yes") for who in ("ada", "bob")
        )
        assert "takes out v2 into quarantine" in first
        assert "done already: ✔ roll back: v2 to v1: it errs" in again
        assert versions(served) == {1}
    state = released.changed({}).releases.state()
    assert (state.champion.version, list(state.quarantined)) == (1, [released.models.versions()[2]])


def test_a_rollback_after_a_refused_deploy_withdraws_the_release(released, on_call):
    second(released)
    with running(released.home, poll_seconds=0.05) as served:
        on_call("propose", "v2", *CANARY, *AS_OF, "--yes")
        on_call("approve", *AS_OF, "--yes")
        assert "stays valid for" in on_call("deploy", "--as-of", "2025-01-01", code=3)
        assert "withdraw: v2" in on_call("rollback", "--reason", "its features are stale", *AS_OF, "--yes")
        assert versions(served) == {1}
    state = released.changed({}).releases.state()
    assert (state.champion.version, state.phase.value, state.quarantined) == (1, "withdrawn", {})


def test_clients_whose_clocks_are_a_day_off_count_in_the_analysis(released):
    """11,263 requests, as of the issue, and a challenger that fails: it is found, and taken out."""
    began = datetime.now(UTC)
    model, version, _ = plant_failing_model(released.models, released.models.versions()[1], "weight")
    released.online.write({}, {view.versioned_name: began for view in released.problem.views})
    how = CanaryStrategy(steps=(0.5,), bake=DAY)
    challenger = Variant(model=model, version=version)
    file = propose_model(released.models, released.releases.state(), challenger, how, override="a test")
    for move in (propose, approve, start):
        move(released.release_target, Actor("tester", began), file)
    asked = [{**row, "asked_at": began - DAY} for row in ASKED]
    with running(released.home, clock="server", flush_seconds=0.1) as served:
        for count in (10_000, 1_263):
            rows = [{**asked[number % len(asked)], "parcel_id": f"q{count}-{number}"} for number in range(count)]
            reply = ask(served, body=msgspec.json.encode({"instances": rows}))
            assert reply.status == 200
        served.process.terminate()
        served.process.wait(30)
        assert served.mlops("release", "tick", "--json").json["outcome"] == "fail"
    assert released.changed({}).releases.state().champion.version == 1
    found = released.predictions.read(began, datetime.now(UTC), ["answered_at"])
    assert found.num_rows == 11_263
    assert logged(served) == [], "on the day of the clients' clocks there is none"


def test_what_lies_beside_the_log_is_told_and_means_nothing(released, on_call):
    second(released)
    folder = released.home / "store/releases/dev"
    for name in (".DS_Store", "000003.json.bak"):
        (folder / name).write_bytes(b"?")
    told = on_call("releases")
    assert ".DS_Store" in told
    assert "000003.json.bak" in told
    with running(released.home, poll_seconds=0.05) as served:
        release(on_call, "v2", *CANARY)
        assert versions(served) == {1, 2}


def test_the_champion_is_not_released_anew(on_call):
    for how in ("canary", "all-at-once", "shadow"):
        assert "v1 is the champion already" in on_call("propose", "v1", "--strategy", how, "--yes", code=3)
