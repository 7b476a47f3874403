"""The model's way through the workflows, each of them executed by act on the embedded profile."""

from datetime import datetime, timedelta

import pytest

from pipelines.config import AllAtOnce, CanaryStrategy, Phase, Variant
from pipelines.demo.plants import plant_failing_model
from pipelines.deployment.proposal import propose_model
from pipelines.deployment.release_file import changed
from pipelines.feature import FeatureParams
from pipelines.monitor import Trigger
from pipelines.serving.client import ServingClient
from tests.conftest import HISTORY, NOW
from tests.e2e.conftest import running
from tests.problems import parcels
from tests.workflows.workplace import OWNER, Workplace

pytestmark = pytest.mark.workflows

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
STRIKE_WEEK = parcels.STRIKE + 6 * DAY  # the first day of a traffic that no model before the strike knows
ALARM = STRIKE_WEEK + 5 * DAY


def ingest(workplace: Workplace, start: datetime, end: datetime) -> None:
    workplace.platform().run("feature", FeatureParams(start=start, end=end))


def ask(workplace: Workplace, app: ServingClient, start: datetime, days: int) -> set[int]:
    """Send the requests of some days, each day's features being there, and return the versions that answered."""
    answered = set()
    for at in (start + number * DAY for number in range(days)):
        ingest(workplace, at - DAY, at)
        rows = parcels.read("parcels", at, at + DAY).drop_columns(["recipient"]).to_pylist()
        answered |= {one["model_version"] for one in app.predict(rows)}
    app.wait_for_log()
    ingest(workplace, start + (days - 1) * DAY, start + days * DAY)
    return answered


def serving(workplace: Workplace, **settings: object):
    return running(workplace.home, poll_seconds=0.1, flush_seconds=0.2, **settings)


def drift(workplace: Workplace) -> None:
    """Serve the week after the strike, and look at it: an alarm asks for a new model."""
    ingest(workplace, NOW, STRIKE_WEEK)
    with serving(workplace) as served:
        ask(workplace, ServingClient(served.url), STRIKE_WEEK, 5)
    done = workplace.run("monitor.yml", "schedule", ALARM)
    assert done.ok, done.out
    assert "alarm name=performance.bias" in done.out


def reviewed(workplace: Workplace, branch: str) -> str:
    """Approve and merge the pull request of a branch, and return the commit."""
    (pull,) = workplace.github.pulls(branch=branch)
    workplace.github.review(pull["number"], OWNER)
    return workplace.github.merge(pull["number"])


def release_of(workplace: Workplace, variant: Variant, how, override: str | None = None) -> str:
    """Return the text of a release file that brings a model into dev."""
    platform = workplace.platform()
    file = propose_model(platform.models, platform.releases.state(), variant, how, override)
    return changed(workplace.read("releases/dev.toml"), file)


def failing(workplace: Workplace) -> Variant:
    platform = workplace.platform()
    model, version, _ = plant_failing_model(platform.models, platform.releases.state().champion.model, "weight")
    return Variant(model=model, version=version)


def pull_by_ada(workplace: Workplace, text: str, branch: str, path: str = "releases/dev.toml") -> int:
    workplace.commit(path, text, who="ada", branch=branch)
    made = workplace.github.make_pull({}, {"title": "A release", "body": "", "head": branch, "base": "main"})
    made["user"] = {"login": "ada", "id": 2, "type": "User"}
    return made["number"]


def test_drift_ends_in_one_promotion_and_cooldown_prevents_a_second(workplace):
    drift(workplace)
    report = workplace.artifacts / "reports/dev"
    assert "<svg" in (report / "report.html").read_text()
    assert "change failure rate" in (report / "delivery.md").read_text()
    done = workplace.run("continuous-training.yml", "schedule", ALARM)
    assert done.ok, done.out
    (pull,) = workplace.github.pulls()
    assert (pull["title"], pull["head"]["ref"]) == ("Promote v2 to dev", "promote/dev")
    manifest = workplace.platform().models.manifest(workplace.platform().models.versions()[2])
    commit = workplace.github.git("rev-parse", "main")
    for said in (
        "| champion now | v1 |",
        "50%, each for 1d and judged; then all",
        "Both on the same rows",
        f"| log loss | {manifest.metrics['test']['log_loss']:.4f} | {manifest.metrics['champion']['log_loss']:.4f} |",
        'title "log loss on the test period, by version"',
        f'run --> commit["commit {commit[:12]}"]',
        f"snapshot {manifest.data['raw.parcels']}",
        "The training's steps took",
        "USD at 0.5 an hour",
        "# Parcels that take more than an hour: boosting",
        "because: performance.bias",
    ):
        assert said in pull["body"], said
    assert 'kind = "canary"' in workplace.read("releases/dev.toml", "promote/dev")
    assert workplace.github.dispatches == [{"workflow": "ci.yml", "ref": "promote/dev", "inputs": {}}]

    calls = len([one for one in workplace.github.calls if one.method != "GET"])
    again = workplace.run("continuous-training.yml", "schedule", ALARM + HOUR)
    assert again.ok, again.out
    assert "nothing asks for a new model" in again.out
    assert len([one for one in workplace.github.calls if one.method != "GET"]) == calls, "told once"

    alarm = Trigger(kind="alarm", reason="performance.bias: once more", at=ALARM + DAY)
    workplace.platform().events.send(alarm.to_json())
    third = workplace.run("continuous-training.yml", "schedule", ALARM + DAY)
    assert "no training: trained on 2024-03-15; the cooldown of 5d ends on 2024-03-20" in third.out
    assert sorted(workplace.platform().models.versions()) == [1, 2]
    assert len(workplace.github.issues) == 1


def test_a_worse_model_ends_in_an_issue_and_no_pull_request(workplace):
    done = workplace.run("continuous-training.yml", "workflow_dispatch", NOW, reason="a look")
    assert done.ok, done.out
    assert workplace.github.pulls() == []
    (issue,) = workplace.github.open_issues()
    assert issue["title"] == "No candidate for dev may be proposed"
    assert "| champion comparison | **refused** | log_loss differs" in issue["body"]
    assert [label["name"] for label in issue["labels"]] == ["refused"]


def test_a_bad_release_is_rolled_back_quarantined_and_a_revert_is_proposed(workplace):
    before = workplace.read("releases/dev.toml")
    bad = failing(workplace)
    text = release_of(workplace, bad, CanaryStrategy(steps=(0.5,), bake=DAY), override="a hotfix")
    number = pull_by_ada(workplace, text, "hotfix")
    workplace.github.review(number, OWNER)
    commit = workplace.github.merge(number, squash=True)
    with serving(workplace) as served:
        app = ServingClient(served.url)
        done = workplace.run("promote.yml", "push", NOW, commit)
        assert done.ok, done.out
        app.wait_for(workplace.platform().releases.latest().number)
        assert ask(workplace, app, NOW, 2) == {1, 2}
        assert app.failed == 0, "the champion answers for it"
        done = workplace.run("promote.yml", "schedule", NOW + 2 * DAY)
        assert done.ok, done.out
        app.wait_for(workplace.platform().releases.latest().number)
        assert ask(workplace, app, NOW + 2 * DAY, 1) == {1}
    state = workplace.platform().releases.state()
    assert (state.phase, state.champion.version, list(state.quarantined)) == (Phase.ROLLED_BACK, 1, [bad.model])
    (incident,) = workplace.github.open_issues()
    assert incident["title"].startswith("dev: rolled back v2 to v1: it failed")
    assert f"| approve | {OWNER} | v2: review of #{number}" in incident["body"]
    assert workplace.read("releases/dev.toml", "revert/dev") == before
    (comment,) = workplace.github.comments[number]
    assert comment["body"].startswith("**roll back** on 2024-02-27")

    again = workplace.run("promote.yml", "schedule", NOW + 3 * DAY)
    assert again.ok, again.out
    titles = [one["title"] for one in workplace.github.issues.values()]
    assert sorted(titles) == ["A release", "Promote v1 to prod", "Revert dev to v1", incident["title"]], "told once"
    assert len(workplace.github.comments[number]) == 1
    entries = len(list(workplace.platform().releases.entries()))
    done = workplace.run("promote.yml", "push", NOW + 3 * DAY, reviewed(workplace, "revert/dev"))
    assert done.ok, done.out
    assert len(list(workplace.platform().releases.entries())) == entries, "what serves already changes nothing"


def test_a_forged_release_file_is_refused(workplace):
    forged = release_of(workplace, failing(workplace), AllAtOnce(), override="trust me")
    commit = workplace.commit("releases/dev.toml", forged)
    done = workplace.run("promote.yml", "push", NOW, commit)
    assert not done.ok
    assert f"was changed by {commit[:12]}, which no pull request brought" in done.out
    assert workplace.platform().releases.state().champion.version == 1


def test_two_merges_at_once_do_not_interleave(workplace):
    """The log is the lock: of three runs at once, two of them for one file, one file goes all its way, and no other."""
    commits = []
    for share in (0.2, 0.3):
        text = release_of(workplace, failing(workplace), CanaryStrategy(steps=(share,), bake=DAY), override="a hotfix")
        number = pull_by_ada(workplace, text, f"hotfix-{share}")
        workplace.github.review(number, OWNER)
        commits.append(workplace.github.merge(number))
    started = [workplace.start("promote.yml", "push", NOW, commit) for commit in (*commits, commits[1])]
    ended = [(process.communicate(timeout=600)[0], process.returncode == 0) for process in started]
    assert [ok for _, ok in ended] == [False, True, True], ended
    assert "releases/dev.toml is another one on main by now" in ended[0][0]
    entries = list(workplace.platform().releases.entries())[3:]
    assert [one.action for one in entries] == ["propose", "approve", "start"]
    assert {one.state.proposal.strategy.steps for one in entries} == {(0.3,)}


def test_the_rollback_by_hand(workplace):
    """One input, and no word to GitHub."""
    platform = workplace.platform()
    text = release_of(workplace, failing(workplace), CanaryStrategy(steps=(0.5,), bake=DAY), override="a hotfix")
    number = pull_by_ada(workplace, text, "hotfix")
    workplace.github.review(number, OWNER)
    done = workplace.run("promote.yml", "push", NOW, workplace.github.merge(number))
    assert done.ok, done.out
    calls = len(workplace.github.calls)
    done = workplace.run("rollback.yml", "workflow_dispatch", NOW, environment="dev")
    assert done.ok, done.out
    latest = platform.releases.latest()
    assert (latest.action, latest.who, latest.reason) == ("roll back", "ada", "by rollback.yml")
    assert len(workplace.github.calls) == calls


def test_the_whole_path(new_workplace):
    """Commit, model, gate, pull request, merge, alarm, retraining, canary, promoted, and on to the next environment."""
    workplace = new_workplace
    ingest(workplace, HISTORY, NOW)
    source = workplace.read("tests/problems/late/estimators.py")
    commit = workplace.commit(
        "tests/problems/late/estimators.py", source.replace("max_iter: int = 25", "max_iter: int = 30")
    )
    done = workplace.run("continuous-training.yml", "workflow_dispatch", NOW, reason="the first model")
    assert done.ok, done.out
    models = workplace.platform().models
    manifest = models.manifest(models.versions()[1])
    assert (manifest.code.commit, manifest.code.modified, manifest.accepted) == (commit, False, True)
    done = workplace.run("promote.yml", "push", NOW, reviewed(workplace, "promote/dev"))
    assert done.ok, done.out
    with serving(workplace) as served:
        assert ask(workplace, ServingClient(served.url), NOW, 1) == {1}
    drift(workplace)
    done = workplace.run("continuous-training.yml", "schedule", ALARM)
    assert done.ok, done.out
    merge = reviewed(workplace, "promote/dev")
    with serving(workplace) as served:
        app = ServingClient(served.url)
        done = workplace.run("promote.yml", "push", ALARM, merge)
        assert done.ok, done.out
        app.wait_for(workplace.platform().releases.latest().number)
        assert ask(workplace, app, ALARM, 2) == {1, 2}
        done = workplace.run("promote.yml", "schedule", ALARM + 2 * DAY)
        assert done.ok, done.out
        app.wait_for(workplace.platform().releases.latest().number)
        assert ask(workplace, app, ALARM + 2 * DAY, 1) == {2}
        assert app.failed == 0
    entries = [(one.action, one.who) for one in workplace.platform().releases.entries()]
    moves = [("propose", "github-actions[bot]"), ("approve", OWNER)]
    assert entries == [
        *moves,
        ("promote", "promote.yml"),
        *moves,
        ("start", "promote.yml"),
        ("promote", "canary analysis"),
    ]
    (onward,) = workplace.github.pulls(branch="promote/prod")
    assert onward["title"] == "Promote v2 to prod"
    done = workplace.run("promote.yml", "push", ALARM + 2 * DAY, reviewed(workplace, "promote/prod"))
    assert done.ok, done.out
    assert workplace.platform(environment="prod").releases.state().champion.version == 2
    workplace.platform().events.send(Trigger(kind="alarm", reason="drift: again", at=ALARM + 5 * DAY).to_json())
    ingest(workplace, ALARM + 3 * DAY, ALARM + 5 * DAY)
    done = workplace.run("continuous-training.yml", "schedule", ALARM + 5 * DAY)
    assert done.ok, done.out
    assert sorted(models.versions()) == [1, 2, 3], "promoted, alarmed, trained anew"
    print(*(f"\n{seconds:6.1f} s  {name}" for name, seconds in workplace.runs))  # noqa: T201  (make test-workflows -s)
