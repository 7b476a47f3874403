"""What is told to GitHub, and what is believed of it: the real client, over HTTP, against a real repository."""

import subprocess

import pytest

from infra.bootstrap import github as bootstrap
from pipelines.config import Refused, UserError
from pipelines.github import client
from pipelines.github.approval import Approval, approval, owners
from pipelines.settings import workflow
from tests.workflows.documents import JOBS
from tests.workflows.github import BOT, MAIN, REQUIRED_CHECK, Problem
from tests.workflows.workplace import OWNER

NAMES = {job.name: job.document.get("name") for job in JOBS if job.workflow == "ci"}
PATH, TEXT = "releases/dev.toml", "a = 1\n"


def proposed(github, text=TEXT):
    return github.put_pull("promote/dev", PATH, text, "Promote v1 to dev", "why", "promotion").number


def writes(fake):
    return [call for call in fake.calls if call.method != "GET"]


def test_a_pull_request_is_opened_once_checked_and_kept_up_to_date(fake, github):
    number = proposed(github)
    assert fake.git("show", f"promote/dev:{PATH}") == TEXT.strip()
    assert [one["ref"] for one in fake.dispatches] == ["promote/dev"]
    before = len(writes(fake))
    assert proposed(github) == number
    assert len(writes(fake)) == before, "nothing changed"
    assert proposed(github, "a = 2\n") == number
    assert (len(fake.pulls()), len(fake.dispatches)) == (1, 2)
    assert fake.git("rev-list", "--count", f"{MAIN}..promote/dev") == "1", "one commit, on the default branch"


def test_an_issue_and_a_comment_are_one_of_each_subject(fake, github):
    for body in ("first", "first", "second"):
        told = github.put_issue("drift dev", "It drifted", body, "drift")
    other = github.put_issue("drift prod", "It drifted", body, "drift")
    assert (told.number, other.number) == (1, 2)
    assert "second" in fake.issues[1]["body"]
    for body in ("a", "a", "b"):
        github.put_comment(1, "preview dev", body)
    github.put_comment(1, "preview prod", "c")
    assert [one["body"].split()[0] for one in fake.comments[1]] == ["b", "c"]
    assert github.close_issue("drift dev", "done").number == 1
    assert github.close_issue("drift dev", "done") is None
    assert github.has_issue("drift dev", "drift"), "a closed one too"
    assert github.put_issue("drift dev", "Again", "x", "drift").number == 3


def test_what_is_longer_than_github_takes_is_cut_and_found_again(fake, github):
    for body in ("x" * 70_000, "y" * 70_000):
        github.put_issue("drift dev", "It drifted", body, "drift")
    (issue,) = fake.open_issues()
    assert (len(issue["body"]), issue["body"][0]) == (65_536, "y")
    assert "The rest is cut" in issue["body"]
    assert issue["body"].endswith("<!-- mlops: drift dev -->")
    number = github.put_pull(
        "promote/dev", PATH, TEXT, "Promote", "z" * 70_000 + "\n<!-- model 1 -->", "promotion"
    ).number
    assert fake.issues[number]["body"].endswith("<!-- model 1 -->")
    assert github.put_pull("promote/dev", PATH, TEXT, "Promote", "short", "promotion").changed


def test_checks_of_a_dispatched_run_count_once_they_are_a_commit_status(fake, github):
    number = proposed(github)
    fake.protected = True
    fake.review(number, OWNER)
    head = fake.git("rev-parse", "promote/dev")
    fake.checks[head] = [("workflow_dispatch", REQUIRED_CHECK, True)]
    with pytest.raises(Problem, match="is expected"):
        fake.merge(number)
    github.put_status(head, passed=False)
    with pytest.raises(Problem, match="is expected"):
        fake.merge(number)
    github.put_status(head, passed=True)
    commit = fake.merge(number)
    assert approval(github, PATH, TEXT).commit == commit


def test_a_protected_branch_takes_no_pull_request_without_a_review(fake, github):
    number = proposed(github)
    fake.protected = True
    github.put_status(fake.git("rev-parse", "promote/dev"), passed=True)
    with pytest.raises(Problem, match="approving review"):
        fake.merge(number)


def test_a_writer_who_is_no_owner_cannot_approve_a_release(fake, github):
    number = proposed(github)
    fake.protected = True
    github.put_status(fake.git("rev-parse", "promote/dev"), passed=True)
    fake.review(number, "mary")
    with pytest.raises(Problem, match="Waiting on code owner review from grace"):
        fake.merge(number)


def test_what_github_lets_through_for_an_unknown_owner_is_refused_here(fake, github):
    fake.push({".github/CODEOWNERS": "/releases/ @acme/buisness-owners\n"})
    number = proposed(github)
    fake.protected = True
    github.put_status(fake.git("rev-parse", "promote/dev"), passed=True)
    fake.review(number, "mary")
    fake.merge(number)
    with pytest.raises(Refused, match="names @acme/buisness-owners as owner"):
        approval(github, PATH, TEXT)


def test_the_name_of_the_required_check_is_one():
    assert REQUIRED_CHECK == client.REQUIRED_CHECK == bootstrap.REQUIRED_CHECK == NAMES["required"]


@pytest.mark.parametrize("squash", [True, False])
def test_a_review_by_an_owner_is_an_approval(fake, github, squash):
    number = proposed(github)
    fake.review(number, OWNER)
    commit = fake.merge(number, squash)
    assert approval(github, PATH, TEXT) == Approval(number, BOT, OWNER, commit)
    fake.push({"README.md": "y\n"})
    assert approval(github, PATH, TEXT).commit == commit, "another change changes nothing"


def test_a_push_past_the_review_is_refused(fake, github):
    fake.push({PATH: TEXT})
    with pytest.raises(Refused, match="which no pull request brought"):
        approval(github, PATH, TEXT)


def test_a_file_that_was_overtaken_is_refused(fake, github):
    fake.push({PATH: "a = 2\n"})
    with pytest.raises(Refused, match="is another one on main by now"):
        approval(github, PATH, TEXT)


@pytest.mark.parametrize(
    ("reviews", "why"),
    [
        ([], "nobody who may approved"),
        ([(OWNER, "CHANGES_REQUESTED", "User")], "nobody who may approved"),
        ([(OWNER, "APPROVED", "User"), (OWNER, "CHANGES_REQUESTED", "User")], "nobody who may approved"),
        ([(OWNER, "APPROVED", "User"), (OWNER, "DISMISSED", "User")], "nobody who may approved"),
        ([("eve", "APPROVED", "User")], "eve may not, by .github/CODEOWNERS"),
        ([("mary", "APPROVED", "User")], "mary may not"),  # may write; the team's members nobody can see here
        ([(BOT, "APPROVED", "Bot")], "nobody who may approved"),
    ],
)
def test_no_approval_by_an_owner_is_refused(fake, github, reviews, why):
    number = proposed(github)
    for review in reviews:
        fake.review(number, *review)
    fake.merge(number)
    with pytest.raises(Refused, match=why):
        approval(github, PATH, TEXT)


def test_an_approval_of_an_earlier_commit_is_none(fake, github):
    number = proposed(github)
    fake.review(number, OWNER)
    proposed(github, "a = 2\n")
    fake.merge(number)
    with pytest.raises(Refused, match="nobody who may approved the last commit"):
        approval(github, PATH, "a = 2\n")


def test_nobody_approves_what_they_wrote(fake, github):
    number = proposed(github)
    fake.push({PATH: "a = 2\n"}, branch="promote/dev", who=OWNER)
    fake.review(number, OWNER)
    fake.merge(number)
    with pytest.raises(Refused, match="who wrote none of it"):
        approval(github, PATH, "a = 2\n")


def test_bringing_the_branch_up_to_date_makes_nobody_an_author(fake, github):
    number = proposed(github)
    fake.review(number, OWNER)
    fake.push({"README.md": "y\n"})
    fake.update_branch(number, OWNER)
    commit = fake.merge(number)
    assert approval(github, PATH, TEXT) == Approval(number, BOT, OWNER, commit)


def test_a_change_of_the_file_after_the_review_needs_another(fake, github):
    number = proposed(github)
    fake.review(number, OWNER)
    fake.push({PATH: "a = 2\n"}, branch="promote/dev", who="mary")
    fake.update_branch(number, "mary")
    fake.merge(number)
    with pytest.raises(Refused, match="nobody who may approved the last commit"):
        approval(github, PATH, "a = 2\n")


def test_an_owner_who_does_not_exist_is_refused_by_name(fake, github):
    fake.push({".github/CODEOWNERS": f"* @acme/engineers\n/releases/ @{OWNER} @acme/buisness-owners\n"})
    number = proposed(github)
    fake.review(number, OWNER)
    fake.merge(number)
    with pytest.raises(Refused, match=r"names @acme/buisness-owners as owner of .*, whom GitHub does not know"):
        approval(github, PATH, TEXT)


def test_a_team_is_believed_where_github_protects_the_branch(fake, github):
    number = proposed(github)
    fake.review(number, "mary")
    fake.merge(number)
    fake.protected = True
    assert approval(github, PATH, TEXT).approver == "mary"


def test_what_is_merged_and_then_changed_by_a_push_is_refused(fake, github):
    number = proposed(github)
    fake.review(number, OWNER)
    fake.merge(number)
    fake.push({PATH: "a = 3\n"})
    with pytest.raises(Refused, match="which no pull request brought"):
        approval(github, PATH, "a = 3\n")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("releases/dev.toml", ("@b",)),
        ("releases/deep/prod.toml", ("@b",)),
        ("model/a.py", ("@a", "@c")),
        ("docs/releases/x", ("@a", "@c")),
        ("docs/x.md", ("@d",)),
        ("x/docs/y", ("@d",)),
    ],
)
def test_the_last_line_that_fits_names_the_owners(path, found):
    text = "# who\n* @a @c\n/releases/ @b # of releases\ndocs/x.md @d\ny @e\nx/docs/ @d\n/other/ @f\n"
    assert owners(text, path) == found


def test_without_a_token_the_error_says_what_to_set():
    with pytest.raises(UserError, match="GITHUB_TOKEN and GITHUB_REPOSITORY must be set"):
        workflow({})


def test_a_project_in_a_folder_has_its_release_files_and_checks_there(fake, github, tmp_path, monkeypatch):
    (tmp_path / "theirs/mlops").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", tmp_path / "theirs"], check=True)
    monkeypatch.chdir(tmp_path / "theirs/mlops")
    assert github.release_file("dev") == "mlops/releases/dev.toml"
    fake.push({".github/workflows/mlops-ci.yml": ""})
    number = github.put_pull("promote/dev", github.release_file("dev"), TEXT, "Promote", "why", "promotion").number
    assert [one["workflow"] for one in fake.dispatches] == ["mlops-ci.yml"]
    assert fake.git("show", "promote/dev:mlops/releases/dev.toml") == TEXT.strip()
    assert fake.issues[number]["state"] == "open"
