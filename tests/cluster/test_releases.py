"""Releases and changes of the image on a cluster, under load that does not pause: no request may be lost.

The figures are written to ``build/releases.json``, which docs/local.md states.
"""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.config import AllAtOnce, CanaryStrategy
from pipelines.contracts import keys
from pipelines.deployment.confirmation import confirm
from pipelines.deployment.transitions import Actor, roll_back
from pipelines.feature import FeatureParams
from pipelines.serving.instances import alive
from pipelines.training import TrainingParams
from tests.cluster.cluster import built, changed, got, kubectl
from tests.cluster.environment import deployed, ran, ready
from tests.conftest import HISTORY, NOW
from tests.definitions import POUNDS, WEIGHTLESS, WIDER
from tests.e2e.load import until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the emulator outlives its starter
]

CANARY = CanaryStrategy(steps=(0.5,), bake=timedelta(seconds=20))
WEAK = {"boosting": {"max_iter": 14}}
LATEST = timedelta(seconds=10)
"""Within which all instances follow a transition, on a busy machine: a poll of a second, and the model is loaded."""
SECOND, BAD = "d" * 40, "e" * 40


@pytest.fixture(scope="module")
def wider(tmp_path_factory):
    """Images of a commit that changes a view's window, and the weight's unit."""
    return {
        target: changed(
            f"localhost/tests-{target}:wider", built(target), tmp_path_factory.mktemp(target), SECOND, *WIDER, POUNDS
        )
        for target in ("serve", "steps")
    }


@pytest.fixture(scope="module")
def weightless(tmp_path_factory):
    """An image of a commit with which no model in service can be served."""
    folder = tmp_path_factory.mktemp("weightless")
    return changed("localhost/tests-serve:weightless", built("serve"), folder, BAD, *WEIGHTLESS)


@pytest.fixture(scope="module")
def served(local_environment):
    """The platform and its namespace, in which version 1 is served."""
    platform, namespace, _, _ = local_environment
    ran(platform, "feature", FeatureParams(start=HISTORY, end=NOW), "history")
    weak = TrainingParams(as_of=NOW, reason="first", settings=WEAK)
    deployed(platform, ran(platform, "training", weak, "first"), AllAtOnce(), NOW, "release-1")
    assert confirmed(platform)
    return platform, namespace


def confirmed(platform):
    found = confirm(platform.release_target.instances, platform.releases.latest().number, 30)
    assert found.is_complete and found.confirmed, str(found)
    return True


def running(platform):
    """The commits that instances run, by how many do."""
    return sorted(one.code[0] for one in alive(platform.release_target.instances()))


def set_image(namespace, name):
    kubectl("set", "image", "deployment/serving", f"serving={name}", "-n", namespace)


def compute_with(namespace, name):
    """Have Jobs run an image from now on."""
    template = json.loads(got("configmap", "job", "-n", namespace)["data"]["job.json"])
    (container,) = template["spec"]["template"]["spec"]["containers"]
    container["image"] = name
    kubectl(
        "patch", "configmap", "job", "-n", namespace, "-p", json.dumps({"data": {"job.json": json.dumps(template)}})
    )


def newest(namespace, name):
    """The pods of an image, each with whether it is ready."""
    found = got("pods", "-n", namespace, "-l", "app.kubernetes.io/component=serving")["items"]
    return [
        any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
        for pod in found
        if pod["spec"]["containers"][0]["image"] == name and "deletionTimestamp" not in pod["metadata"]
    ]


def test_definitions_change_in_service_and_no_request_is_lost(served, wider, under_load, local_environment):
    """A view's window changes; a model is trained on it, compared, canaried, promoted, rolled back, promoted again."""
    platform, namespace = served
    figures, began = local_environment[2], datetime.now(UTC)
    with under_load("definitions change", 540, stop=True) as told:
        set_image(namespace, wider["serve"])
        compute_with(namespace, wider["steps"])
        ready(namespace)
        assert set(running(platform)) == {"d"}
        ran(platform, "feature", FeatureParams(start=HISTORY, end=NOW, online_as_of=datetime.now(UTC)), "wider")
        candidate = ran(platform, "training", TrainingParams(as_of=NOW, reason="wider window"), "second")
        manifest = platform.models.manifest(candidate.model)
        assert candidate.accepted and manifest.metrics["champion"], manifest.gates
        deployed(platform, candidate, CANARY, datetime.now(UTC), "release-2")
        until(lambda: not platform.releases.state().live, 180)  # the watch looks each minute
        assert platform.releases.latest().action == "promote", platform.releases.latest().reason
        assert confirmed(platform)
        time.sleep(5)
        roll_back(platform.release_target, Actor("tester", datetime.now(UTC)), "a test", champion_out=True)
        assert confirmed(platform)
        time.sleep(5)
        deployed(platform, candidate, AllAtOnce(), datetime.now(UTC), "release-3")
        assert confirmed(platform)
        time.sleep(LATEST.total_seconds())
    assert told["lost"] == []
    figures["answers checked against the release log"] = agrees(platform, began, told)
    assert set(told["versions"]) == {"1", "2"}


def agrees(platform, began, told):
    """Check each answer against the state of the log that it names, and that this was then the latest; count them."""
    until(lambda: platform.predictions.read(began, datetime.now(UTC)).num_rows >= told["asked"], 30)
    rows = platform.predictions.read(began, datetime.now(UTC)).to_pylist()
    states = {entry.number: entry.state for entry in platform.releases.entries()}
    made = {number: written(platform, number) for number in states}
    late = timedelta()
    for row in rows:
        assert row["version"] == getattr(states[row["release"]], row["variant"]).version
        if row["release"] + 1 in made:
            late = max(late, row["answered_at"] - made[row["release"] + 1])
    assert len(rows) == told["asked"]
    assert late < LATEST
    return {"answers": len(rows), "seconds that one came after the next transition, at most": late.total_seconds()}


def written(platform, number):
    """When a transition reached the store, to the second; who made it may have said a moment long before."""
    key = f"{keys.release_log(platform.settings.environment)}{number:06d}.json"
    return platform.objects._client.head_object(Bucket=platform.objects.bucket, Key=key)["LastModified"]


def test_an_update_that_cannot_load_the_release_keeps_the_good_pods(served, weightless, under_load, local_environment):
    platform, namespace = served
    before = got("deployment", "serving", "-n", namespace)["spec"]["replicas"]
    with under_load("an image that cannot load the release", 240, stop=True) as told:
        set_image(namespace, weightless)
        until(lambda: newest(namespace, weightless), 60)
        until(lambda: [one for one in alive(platform.release_target.instances()) if one.code[0] == "e"], 60)
        time.sleep(20)
        assert not any(newest(namespace, weightless)), "it is not ready"
        assert got("deployment", "serving", "-n", namespace)["status"]["readyReplicas"] >= before
        (bad,) = [one for one in alive(platform.release_target.instances()) if one.code[0] == "e"]
        assert bad.standing.serves is None
        assert "computed from 'weight', which requests do not carry any more" in bad.standing.error
        kubectl("rollout", "undo", "deployment/serving", "-n", namespace)
        ready(namespace)
    assert told["lost"] == []
    assert not newest(namespace, weightless)


def test_a_changed_image_bakes_in_one_pod_before_the_others(served, wider, under_load):
    """The canary of an image: one pod more, ready, of the other commit; what is taken back by then was all there was."""
    platform, namespace = served
    now = got("deployment", "serving", "-n", namespace)["spec"]["template"]["spec"]["containers"][0]["image"]
    other = built("serve") if now == wider["serve"] else wider["serve"]
    bake = {"spec": {"minReadySeconds": 60, "progressDeadlineSeconds": 660}}
    kubectl("patch", "deployment", "serving", "-n", namespace, "-p", json.dumps(bake))
    with under_load("a canary of an image", 240, stop=True) as told:
        set_image(namespace, other)
        until(lambda: any(newest(namespace, other)), 60)
        time.sleep(25)
        assert newest(namespace, other) == [True]
        assert len(newest(namespace, now)) >= 2
        assert len(set(running(platform))) == 2, "status says who runs which commit"
        kubectl("rollout", "undo", "deployment/serving", "-n", namespace)
        until(lambda: not newest(namespace, other), 90)
    assert told["lost"] == []
