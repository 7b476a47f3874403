"""Delivery metrics: from a release log that was really written."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from monitoring.delivery import delivery, deployments, told
from pipelines.adapters.local.objects import FileObjects
from pipelines.adapters.local.signer import FileSigner
from pipelines.config import AllAtOnce, CanaryStrategy, Variant
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.transitions import Actor, approve, promote, propose, roll_back, start
from pipelines.registry.model_store import ModelStore
from pipelines.registry.provenance import committed
from pipelines.registry.release_log import ReleaseLog
from tests.releasing import target

BEGIN, DAY = datetime(2024, 3, 1, tzinfo=UTC), timedelta(days=1)
CANARY = CanaryStrategy(steps=(0.5,), bake=DAY)


@pytest.fixture
def models(manifest, tmp_path):
    """Four models, each trained at a commit of its own and compared with the one before."""
    store = ModelStore(FileObjects(tmp_path / "models"))
    for number in range(1, 5):
        code = manifest.code.model_copy(update={"commit": f"{number}" * 40})
        champion = store.versions().get(number - 1)
        store.put(manifest.model_copy(update={"code": code, "champion_model": champion}), {})
    return store


@pytest.fixture
def log(tmp_path):
    return ReleaseLog(FileObjects(tmp_path / "log"), FileSigner(tmp_path / "keys"), "dev")


def brought_in(log, models, version, day, override=None):
    at = Actor("me", BEGIN + day * DAY)
    variant = Variant(model=models.versions()[version], version=version)
    how = CANARY if log.state().champion else AllAtOnce()
    file = propose_model(models, log.state(), variant, how, override)
    for move in (propose, approve, start):
        move(target(log, models), at, file)


@pytest.fixture
def entries(log, models):
    """v1 at once on day 0; v2 from day 7, promoted on day 9; v3 from day 14, rolled back on day 15; v4 on day 20, live."""
    brought_in(log, models, 1, 0)
    brought_in(log, models, 2, 7)
    promote(target(log, models), Actor("canary analysis", BEGIN + 9 * DAY), "good")
    brought_in(log, models, 3, 14)
    roll_back(target(log, models), Actor("canary analysis", BEGIN + 15 * DAY), "bad")
    brought_in(log, models, 4, 20, override="a hotfix")
    return list(log.entries())


def test_the_metrics_are_those_of_the_log(entries, models):
    commits = {models.versions()[version]: BEGIN + day * DAY for version, day in ((1, -1), (2, 4), (3, 10), (4, 18))}
    found = delivery(entries, commits, BEGIN, BEGIN + 28 * DAY)
    assert (found.deployments, found.failed, found.per_week) == (4, 1, 1.0)
    assert found.lead_time == timedelta(days=3), "a day for v1, five days for v2; v3 never was champion"
    assert found.change_failure_rate == 0.25
    assert found.time_to_restore == DAY
    assert found.stability == 1.0, "both that were promoted stayed"
    assert found.tenure == timedelta(days=14), "v1 for 9 days, v2 for 19"


def test_a_promotion_before_its_commit_says_nothing_of_lead_time(entries, models):
    commits = {models.versions()[version]: BEGIN + day * DAY for version, day in ((1, 5000), (2, 4))}
    assert delivery(entries, commits, BEGIN, BEGIN + 28 * DAY).lead_time == timedelta(days=5)
    del commits[models.versions()[2]]
    assert told(delivery(entries, commits, BEGIN, BEGIN + 28 * DAY))["lead time, from commit to champion"] == "unknown"


def test_a_champion_that_is_taken_out_later_was_a_failed_deployment(entries, log, models):
    roll_back(target(log, models), Actor("canary analysis", BEGIN + 21 * DAY), "v4 is bad")
    roll_back(target(log, models), Actor("me", BEGIN + 22 * DAY), "v2 was bad all along", champion_out=True)
    found = delivery(list(log.entries()), {}, BEGIN, BEGIN + 28 * DAY)
    assert [bool(one.rolled_back) for one in deployments(log.entries())] == [False, True, True, True]
    assert (found.failed, found.change_failure_rate, found.stability) == (3, 0.75, 0.5)
    assert found.time_to_restore == DAY, "15 days for v2, one each for v3 and v4"
    assert found.lead_time is None, "no commit is known"


def test_a_span_counts_what_began_in_it(entries):
    found = delivery(entries, {}, BEGIN + 10 * DAY, BEGIN + 17 * DAY)
    assert (found.deployments, found.failed, found.time_to_restore) == (1, 1, DAY)
    assert found.stability is None, "nothing that began in it was promoted"


def test_nothing_is_made_up_where_nothing_happened():
    found = delivery([], {}, BEGIN, BEGIN + DAY)
    assert (found.deployments, found.change_failure_rate, found.tenure) == (0, None, None)
    assert told(found)["time to restore"] == "unknown"


def test_a_commit_of_a_repository_has_a_time_and_another_has_none(tmp_path):
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("commit", "--quiet", "--allow-empty", "--message=first", "--date=2026-01-01T00:00:00Z")
    made = committed(tmp_path, git("rev-parse", "HEAD"))
    assert made is not None
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=10), "the committer's time, not the author's"
    for other in ("c" * 40, "unversioned", "main", "--all", ""):
        assert committed(tmp_path, other) is None
