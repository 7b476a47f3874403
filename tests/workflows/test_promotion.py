"""From candidates to pull requests, from merges to the signed log, from verdicts to words: without training anything."""

import pytest

from pipelines.config import GateResult, Phase, Refused
from pipelines.deployment.proposal import standing
from pipelines.deployment.release_file import changed, read_release
from pipelines.deployment.transitions import Actor, promote, propose, roll_back, start
from pipelines.github import propose as proposing
from pipelines.github.follow import follow, record_approval
from tests.conftest import NOW, make_platform
from tests.releasing import target
from tests.workflows.workplace import OWNER

REFUSED = (GateResult(gate="absolute_quality", passed=False, reason="roc_auc 0.5 is below 0.7"),)
ME = Actor("me", NOW)


@pytest.fixture
def platform(tmp_path):
    return of_names(make_platform(tmp_path / "home", as_of=NOW))


def of_names(platform):
    """Release models of which there are only manifests."""
    before = platform._releases_before()
    platform.release_target = target(platform.releases, platform.models, before)
    return platform


@pytest.fixture
def train(platform, manifest):
    """Register a model that was compared with the present champion."""

    def registered(**change):
        champion = platform.releases.state().champion
        made = manifest.model_copy(
            update={"champion_model": champion and champion.model, "reason": f"{change}", **change}
        )
        return platform.models.put(made, {})[1]

    return registered


@pytest.fixture
def tell(platform, github):
    return lambda where=platform: proposing.propose(where, github)


def merged(platform, fake, number, environment="dev"):
    """Review and merge a pull request, and check the default branch out."""
    fake.review(number, OWNER)
    fake.merge(number)
    checked_out(platform, fake, environment)


def checked_out(platform, fake, environment="dev"):
    platform.settings.releases.mkdir(parents=True, exist_ok=True)
    text = fake.git("show", f"main:releases/{environment}.toml") + "\n"
    (platform.settings.releases / f"{environment}.toml").write_text(text)


def started(platform, github):
    """Approve what is merged, and start it as a deployment does."""
    assert record_approval(platform, github).approved
    return start(platform.release_target, ME, read_release(platform.settings.releases, platform.settings.environment))


def test_the_first_candidate_becomes_a_pull_request_once(platform, fake, train, tell):
    assert tell().reason == "there is no candidate"
    train()
    assert (tell().told.changed, tell().told.changed) == (True, False)
    (pull,) = fake.pulls()
    assert "There is no champion in `dev` yet." in pull["body"]
    assert 'kind = "all-at-once"' in fake.git("show", "promote/dev:releases/dev.toml")
    train(settings={"newer": 1})
    assert (tell().told.number, len(fake.pulls())) == (pull["number"], 1), "a newer one takes its place"
    assert pull["title"] == "Promote v2 to dev"


def test_an_edited_strategy_stays_and_a_closed_pull_request_declines(platform, fake, github, train, tell):
    train()
    merged(platform, fake, tell().told.number)
    started(platform, github)
    train(settings={"newer": 1})
    number = tell().told.number
    text = fake.git("show", "promote/dev:releases/dev.toml") + "\n"
    edited = text.replace("steps = [0.5]", "steps = [0.1, 0.5]")
    assert edited != text
    fake.push({"releases/dev.toml": edited}, branch="promote/dev", who=OWNER)
    assert tell().told.changed is False
    assert fake.git("show", "promote/dev:releases/dev.toml") + "\n" == edited
    fake.edit({}, {"state": "closed"}, str(number))
    assert tell().reason == f"v2 was declined in #{number}"


def test_a_refused_candidate_is_an_issue_until_one_passes(fake, train, tell):
    train(gates=REFUSED)
    assert [tell().refused, tell().refused] == [True, True]
    (issue,) = fake.open_issues()
    assert "| absolute quality | **refused** | roc_auc 0.5 is below 0.7 |" in issue["body"]
    assert fake.pulls() == []
    train(settings={"better": 1})
    tell()
    assert (len(fake.pulls()), fake.open_issues()) == (1, [])


def test_an_approval_is_recorded_once_and_by_who_gave_it(platform, fake, github, train, tell):
    assert record_approval(platform, github).reason.startswith("there is no")
    train()
    number = tell().told.number
    merged(platform, fake, number)
    assert tell().reason == "v1 was merged"
    assert [record_approval(platform, github).approved for _ in range(2)] == [True, True]
    proposed, approved = platform.releases.entries()
    assert (proposed.who, approved.who) == ("github-actions[bot]", OWNER)
    assert approved.reason.startswith(f"review of #{number}, merged as ")
    start(platform.release_target, ME, read_release(platform.settings.releases, "dev"))
    assert record_approval(platform, github) == (False, "nothing to do: v1 is promoted", "")
    assert tell().reason == "v1 serves, or did"


def test_a_rollback_opens_an_incident_comments_and_reverts(platform, fake, github, train, tell):
    train()
    merged(platform, fake, tell().told.number)
    started(platform, github)
    before = fake.git("show", "main:releases/dev.toml")
    train(settings={"newer": 1})
    number = tell().told.number
    merged(platform, fake, number)
    started(platform, github)
    assert tell().reason == "a release is live; v2 waits for its end"
    roll_back(platform.release_target, Actor("canary analysis", NOW), "it failed")
    for told in (3, 1):
        assert len(follow(platform, github)) >= told
    assert [one["title"] for one in fake.open_issues()] == ["dev: rolled back v2 to v1: it failed"]
    assert len(fake.comments[number]) == 1
    (revert,) = fake.pulls(branch="revert/dev")
    assert fake.git("show", "revert/dev:releases/dev.toml") == before
    assert tell().reason == "v2 is quarantined: it failed"
    forced = changed(fake.git("show", "main:releases/dev.toml"), platform.releases.state().proposal)
    fake.push({"releases/dev.toml": forced.replace("[0.5]", "[0.4]")})
    checked_out(platform, fake)
    with pytest.raises(Refused, match=r"v2 is quarantined: it failed; 'mlops propose v2' proposes it anew"):
        record_approval(platform, github)
    follow(platform, github)  # brings the branch up to what was pushed
    fake.merge(revert["number"])
    checked_out(platform, fake)
    entries = len(list(platform.releases.entries()))
    assert record_approval(platform, github).approved is False
    assert len(list(platform.releases.entries())) == entries
    assert read_release(platform.settings.releases, "dev") == standing(platform.models, platform.releases.state())


def test_what_serves_in_one_environment_is_proposed_to_the_next(platform, fake, github, train, tell):
    prod = of_names(platform.changed({"environment": "prod"}))
    train()
    merged(platform, fake, tell().told.number)
    assert tell(prod).reason == "there is no candidate"
    started(platform, github)
    (told, _) = (tell(prod).told, tell(prod))
    assert fake.issues[told.number]["title"] == "Promote v1 to prod"
    merged(prod, fake, told.number, "prod")
    started(prod, github)
    train(settings={"newer": 1})
    merged(platform, fake, tell().told.number)
    started(platform, github)
    assert tell(prod).reason == "v1 serves, or did", "a challenger is not proposed"
    promote(platform.release_target, Actor("canary analysis", NOW), "good")
    told = follow(platform, github)
    assert len(told) == 1
    assert "**promote** on 2024-02-25" in fake.comments[told[0].number][0]["body"]
    assert tell(prod).told.changed


def test_what_a_person_proposed_by_hand_is_approved_as_it_is(platform, fake, github, train, tell):
    train()
    number = tell().told.number
    merged(platform, fake, number)
    propose(platform.release_target, ME, read_release(platform.settings.releases, "dev"))
    assert record_approval(platform, github).approved
    assert [entry.action for entry in platform.releases.entries()] == ["propose", "approve"]
    assert platform.releases.state().phase is Phase.APPROVED
