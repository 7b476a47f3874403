"""ci.yml executed by act: what concerns a push runs, a bad release file fails, and the required check says so.

uv and the actions are stand-ins, every command of a job is the real one. One Python stands for the three of the matrix;
previews, CodeQL and images need what is not here, and their conditions keep them from running.
"""

import re

import pytest

from tests.conftest import NOW, ROOT
from tests.workflows.workplace import Workplace

pytestmark = pytest.mark.workflows

PAGE = "docs/workflows.md"
QUICK = {"ARGS": "tests/unit/config/test_strict.py -k strict -p no:cacheprovider -n 0 --no-cov -q"}
"""What stands for all tests, where it is not the tests that are shown to run."""
ALWAYS = {"make changes", "make audit", "make audit-packages", "make required-checks"}
RELEASE = ALWAYS | {"uv run --no-sync mlops release check"}


@pytest.fixture
def programs(monkeypatch):
    """The environment of a run: what is here already need not be made again in the clone."""
    if not (ROOT / ".tools/gitleaks").exists():
        pytest.skip("ci.yml was not run: gitleaks is missing; 'make test-workflows' builds it where Go is")
    return {**QUICK, "TOOLS": str(ROOT / ".tools"), "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")}


def commands(done):
    """Return the commands that the jobs began, those of the setup aside."""
    return set(re.findall(r"Run Main (make (?!sync)[a-z-]+|uv run --no-sync mlops [a-z ]+)", done.out))


def pull_request(workplace, base):
    head = {"repo": {"fork": False, "full_name": "acme/parcels"}}
    return {"pull_request": {"number": 1, "base": {"sha": base, "ref": "main"}, "head": head}}


def test_a_push_of_docs_checks_docs_and_nothing_that_takes_long(workplace: Workplace, programs):
    before = workplace.github.git("rev-parse", "main")
    workplace.commit(PAGE, workplace.read(PAGE) + "\nOne line more.\n")
    environ = {**programs, "ARGS": "-k workflows.md"}
    done = workplace.run("ci.yml", "push", NOW, payload={"before": before}, environ=environ)
    assert commands(done) == ALWAYS | {"make test-docs"}, done.out
    assert done.ok, done.out
    assert re.search("success +docs", done.out)
    assert re.search("skipped +test", done.out)


def test_docs_that_name_what_does_not_exist_fail_the_required_check(workplace: Workplace, programs):
    before = workplace.github.git("rev-parse", "main")
    workplace.commit(PAGE, workplace.read(PAGE) + "\nRun `make fly`.\n")
    environ = {**programs, "ARGS": "-k workflows.md"}
    done = workplace.run("ci.yml", "push", NOW, payload={"before": before}, environ=environ)
    assert not done.ok
    assert "make fly" in done.out
    assert re.search("failure +docs", done.out)


def test_a_push_of_tests_runs_checks_and_tests_for_each_python(workplace: Workplace, programs):
    before = workplace.github.git("rev-parse", "main")
    workplace.commit("tests/unit/test_more.py", "def test_more():\n    assert True\n")
    done = workplace.run("ci.yml", "push", NOW, payload={"before": before}, environ=programs)
    checks = {"make check", "make check-workflows", "make test"}
    assert commands(done) == checks | ALWAYS, done.out
    assert done.out.count("Run Main make test\n") == 3
    assert done.ok, done.out


def test_a_release_file_with_an_unknown_model_is_refused(workplace: Workplace, programs):
    base = workplace.github.git("rev-parse", "main")
    text = re.sub(r'(?m)^model = ".*"', f'model = "{"0" * 64}"', workplace.read("releases/dev.toml"))
    commit = workplace.commit("releases/dev.toml", text, branch="forged")
    done = workplace.run(
        "ci.yml", "pull_request", NOW, ref=commit, payload=pull_request(workplace, base), environ=programs
    )
    assert commands(done) == RELEASE, done.out
    assert not done.ok
    assert "the model store has no model 000000000000" in done.out
    assert re.search("failure +release", done.out)


def test_the_release_file_of_what_serves_passes_on_a_promotion_branch(workplace: Workplace, programs):
    text = workplace.read("releases/dev.toml") + "\n# again\n"
    commit = workplace.commit("releases/dev.toml", text, branch="promote/dev")
    done = workplace.run("ci.yml", "workflow_dispatch", NOW, ref=commit, environ=programs)
    assert commands(done) == RELEASE | {"uv run --no-sync mlops github status"}, done.out
    assert done.ok, done.out
    assert workplace.github.statuses[commit] == {"required checks": "success"}, "what the protected branch waits for"
