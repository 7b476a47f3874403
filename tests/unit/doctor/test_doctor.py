"""The doctor: each thing that can be left to do is found, and so is each file of the engine that was changed."""

import hashlib
import json
import shutil
import subprocess
import sys

import pytest

from pipelines.doctor import FindingState, examine
from pipelines.doctor import repository as checks
from tests.conftest import PROBLEMS, ROOT


@pytest.fixture
def repository(tmp_path):
    """A small repository in which nothing is left to do."""
    for name in ("ownership.toml", "cloud.toml"):
        shutil.copy(ROOT / name, tmp_path)
    project = '[project]\nname = "tiny"\nversion = "1"\nrequires-python = ">=3.11,<3.14"\ndependencies = []\n'
    files = {"pyproject.toml": project, "pipelines/one.py": "1\n", "pipelines/two.py": "2\n", "model/source.py": "3\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "releases").mkdir()
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github/CODEOWNERS").write_text("* @acme/engineers\n")
    came = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    (tmp_path / "template.json").write_text(json.dumps({"commit": None, "files": came}))
    if shutil.which("uv"):
        subprocess.run(["uv", "lock", "--offline", "--quiet"], cwd=tmp_path, check=True)
    else:
        (tmp_path / "uv.lock").touch()
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@acme.dev"]
    for arguments in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    return tmp_path


def left(root, package=PROBLEMS[0]):
    return [f"{found.check}: {found.says}" for found in examine(root, package) if found.state is FindingState.TODO]


def of_engine(root):
    return [(found.state.value, found.says) for found in checks.engine(root)]


def test_a_repository_in_order_has_nothing_left(repository):
    assert left(repository) == []
    assert of_engine(repository) == [("ok", "its 2 files are as they came from the template")]


@pytest.mark.parametrize(("version", "state"), [((3, 10), "todo"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "todo")])
def test_the_python_must_be_one_of_the_project(repository, version, state):
    assert checks.python(repository, version).state.value == state


CONFLICT = '<<<<<<< ours\nversion = "1"\n=======\nversion = "2"\n>>>>>>> theirs\n'


def test_marks_of_a_conflict_stop_nothing_and_are_found(repository):
    project, lock = repository / "pyproject.toml", repository / "uv.lock"
    for file in (project, lock):
        file.write_text(file.read_text() + CONFLICT)
    (repository / "pipelines/one.py.rej").write_text("@@ -1 +1 @@\n")
    found = left(repository)
    assert [line for line in found if line.startswith("conflict")] == [
        f"conflict: {name} holds marks of a conflict; merge what lies between '<<<<<<<' and '>>>>>>>'"
        for name in ("pyproject.toml", "uv.lock")
    ] + ["conflict: pipelines/one.py.rej: merge what it holds, then delete it"]
    assert any(line.startswith("pyproject.toml: cannot be read, so uv cannot either") for line in found)


def test_a_missing_project_file_is_found(repository):
    (repository / "pyproject.toml").unlink()
    assert "pyproject.toml: is missing; take it back from git" in left(repository)


def test_the_command_runs_while_the_project_file_is_broken(repository):
    (repository / "pyproject.toml").write_text(CONFLICT)
    command = [sys.executable, "-m", "pipelines.entrypoints.cli", "doctor"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr, "pyproject.toml cannot" in done.stdout) == (3, False, False)
    assert "holds marks of a conflict" in " ".join(done.stdout.split())


def test_a_missing_lock_is_found(repository):
    (repository / "uv.lock").unlink()
    assert left(repository) == ["uv.lock: is missing; run 'uv lock', then commit it"]


@pytest.mark.skipif(not shutil.which("uv"), reason="only uv can tell")
def test_a_stale_lock_is_found(repository):
    project = repository / "pyproject.toml"
    project.write_text(project.read_text().replace("dependencies = []", 'dependencies = ["numpy"]'))
    assert left(repository) == ["uv.lock: does not fit pyproject.toml; run 'uv lock'"]


def test_without_uv_nobody_can_tell_whether_the_lock_is_current(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert checks.lock(repository).state is FindingState.NOTE


def test_a_repository_without_a_commit_is_found(repository):
    shutil.rmtree(repository / ".git")
    (found,) = left(repository)
    assert found.startswith("git: there is no commit to trace models to; run 'git init")


def test_every_error_of_the_problem_is_found(repository, monkeypatch):
    (repository / "crooked").mkdir()
    (repository / "crooked/__init__.py").touch()
    (repository / "crooked/problem.toml").write_text('nmae = "crooked"\ntitle = "Crooked"\n')
    monkeypatch.syspath_prepend(repository)
    found = left(repository, "crooked")
    assert any(line.endswith("nmae: unknown key; did you mean 'name'?") for line in found)
    assert any(line.endswith("task: Field required") for line in found)


def test_missing_release_files_are_found(repository):
    (repository / "releases").rmdir()
    assert left(repository) == ["releases: is missing; create it, 'mlops propose' writes into it"]


def test_each_placeholder_is_found_once(repository):
    (repository / ".github/CODEOWNERS").write_text("* @your-team/a\n/model/ @your-team/b\n/pipelines/ @yours/c\n")
    (repository / "model/problem.toml").write_text('owner = "desk@example.com"\n')
    assert left(repository) == [
        "placeholder: .github/CODEOWNERS: replace @your-team by your own",
        "placeholder: model/problem.toml: replace desk@example.com by your own",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('region = "Frankfurt"\nmonthly_budget = 1', "cloud.toml: region: String should match pattern"),
        ('region = "us-east-1"\nmonthly_budget = 0', "cloud.toml: monthly_budget: Input should be greater than 0"),
        ('regoin = "us-east-1"\nmonthly_budget = 1', "cloud.toml: regoin: unknown key; did you mean 'region'?"),
    ],
)
def test_a_wrong_statement_about_the_cloud_is_found(repository, text, says):
    (repository / "cloud.toml").write_text(text)
    assert left(repository)[0].startswith(f"AWS: {says}")


def test_changed_engine_files_are_listed_and_the_teams_are_not(repository):
    (repository / "pipelines/one.py").write_text("changed\n")
    (repository / "pipelines/two.py").unlink()
    (repository / "pyproject.toml").write_text((repository / "pyproject.toml").read_text() + "# an extension point\n")
    (repository / "model/source.py").write_text("ours\n")
    assert of_engine(repository) == [
        ("note", "pipelines/one.py was changed; an update that changes it asks you to merge"),
        ("note", "pipelines/two.py was deleted; an update that changes it asks you to merge"),
    ]


def test_the_reference_problem_differs_from_the_teams_own(repository):
    came = json.loads((repository / "template.json").read_text())
    (repository / "model/problem.toml").write_text("the reference\n")
    came["files"]["model/problem.toml"] = hashlib.sha256(b"the reference\n").hexdigest()
    (repository / "template.json").write_text(json.dumps(came))
    assert of_engine(repository)[0] == ("note", "model/ is still the reference problem; put your own there")
    (repository / "model/problem.toml").write_text("our own\n")
    assert of_engine(repository)[0][0] == "ok"


def test_other_line_ends_are_no_change(repository):
    (repository / "pipelines/one.py").write_bytes(b"1\r\n")
    assert of_engine(repository)[0][0] == "ok"


def test_a_broken_record_of_the_template_is_found(repository):
    (repository / "template.json").write_text("{")
    assert left(repository)[0].startswith("engine: template.json cannot be read")


def test_the_command_ends_with_3_where_something_is_left(repository):
    def run(*arguments):
        command = [sys.executable, "-m", "pipelines.entrypoints.cli", "doctor", *arguments]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)

    assert (run().returncode, "nothing left to do" in run().stdout) == (0, True)
    (repository / "releases").rmdir()
    done = run("--json")
    assert done.returncode == 3
    assert [found["check"] for found in json.loads(done.stdout) if found["state"] == "todo"] == ["releases"]
