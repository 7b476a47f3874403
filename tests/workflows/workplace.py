"""Where workflows run in the tests: a repository, GitHub's API, and act, which executes the jobs on this machine.

Actions of others are replaced by those in ``actions/``, uv by ``bin/uv``; every command of a job is the real one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from pipelines.bootstrap import Platform
from tests.conftest import PROBLEMS, ROOT, make_platform
from tests.docs.named import FILES
from tests.workflows.github import MAIN, FakeGitHub

HERE = Path(__file__).parent
ACT = "github.com/nektos/act@v0.2.89"
ENVIRONMENTS = ("dev", "prod")
OWNER = "grace"


def find_act() -> str:
    """Return where act is; skip the test, and say so, where it is not: ``make test-workflows`` installs it."""
    found = shutil.which("act") or shutil.which("act", path=f"{ROOT / '.tools'}:{Path.home() / 'go/bin'}")
    if found is None:
        pytest.skip(f"no workflow was run: act is missing; 'make test-workflows' installs {ACT} where Go is")
    return found


class Ran(NamedTuple):
    """How the run of a workflow ended."""

    ok: bool
    out: str
    seconds: float


class Workplace:
    """A repository with what its workflows need; ``home`` is that of the embedded profile."""

    def __init__(self, folder: Path, home: Path, problem: str = PROBLEMS[0]) -> None:
        self.folder, self.home, self.problem = folder, home, problem
        self.bare, self.artifacts = folder / "origin.git", folder / "artifacts"
        self.runs: list[tuple[str, float]] = []
        self._clones = 0
        subprocess.run(["git", "init", "-q", "--bare", "-b", MAIN, self.bare], check=True)
        subprocess.run(["git", "-C", self.bare, "config", "uploadpack.allowAnySHA1InWant", "true"], check=True)
        self.github = FakeGitHub(self.bare)
        self.github.logins |= {f"{name}@example.com": name for name in ("ada", OWNER)}

    def begin(self, release: str | None = None) -> str:
        """Make the first commit: this repository as it lies here, with an owner of releases, and return it."""
        clone = self.clone()
        for name in FILES:
            if "cookiecutter" not in name:
                (clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, clone / name)
        (clone / ".github/CODEOWNERS").write_text(f"*  @acme/engineers\n/releases/  @{OWNER}\n")
        (clone / "cloud.toml").write_text(
            f'region = "us-east-1"\nmonthly_budget = 1\nenvironments = {json.dumps(ENVIRONMENTS)}\n'
        )
        if release is not None:
            (clone / "releases/dev.toml").write_text(release)
        return self._push(clone, MAIN, "The project", "ada")

    def commit(self, path: str, text: str, who: str = "ada", branch: str = MAIN) -> str:
        """Push a change of a file to a branch, made from the default one, and return the commit."""
        clone = self.clone()
        (clone / path).write_text(text)
        return self._push(clone, branch, f"Change {path}", who)

    def read(self, path: str, ref: str = MAIN) -> str:
        return self.github.git("show", f"{ref}:{path}") + "\n"

    def clone(self, ref: str = MAIN) -> Path:
        """Return a fresh checkout, whose remote has GitHub's name for it."""
        self._clones += 1
        clone = self.folder / f"clone-{self._clones}"
        subprocess.run(["git", "clone", "-q", "--shared", self.bare, clone], check=True, capture_output=True)
        if ref != MAIN:
            self._git(clone, "checkout", "-q", "--detach", ref)
        self._git(clone, "remote", "set-url", "origin", "https://github.com/acme/parcels")
        return clone

    def platform(self, **settings: object) -> Platform:
        """Return the platform that the workflows work on."""
        return make_platform(self.home, self.problem, **settings)

    def start(
        self,
        workflow: str,
        event: str,
        at: datetime,
        ref: str = MAIN,
        payload: Mapping[str, Any] = MappingProxyType({}),
        environ: Mapping[str, str] = MappingProxyType({}),
        **inputs: str,
    ) -> subprocess.Popen[str]:
        """Start a workflow as an event would, at a moment of the data; ``payload`` and ``environ`` are added to."""
        clone = self.clone(ref)
        payload = {"repository": {"full_name": "acme/parcels", "default_branch": MAIN}, "inputs": inputs, **payload}
        if event == "push":
            payload |= {"ref": f"refs/heads/{MAIN}"}
        own = {
            "GITHUB_API_URL": self.github.url,
            "RATCHET_PROBLEM": self.problem,
            "RATCHET_AS_OF": at.isoformat(),
            "COLUMNS": "200",
            "STANDIN_REMOTE": str(self.bare),
            "STANDIN_ARTIFACTS": str(self.artifacts),
            "STANDIN_BIN": str(HERE / "bin"),
            "STANDIN_PROGRAMS": str(Path(sys.executable).parent),
            **environ,
        }
        event_file = self.folder / f"{clone.name}.json"
        event_file.write_text(json.dumps(payload))
        command = [find_act(), event, "-C", str(clone), "-W", str(known(clone, workflow)), "-e", str(event_file)]
        command += ["-P", "ubuntu-24.04=-self-hosted", "--no-skip-checkout", "--no-cache-server", "--rm"]
        command += ["--action-cache-path", str(self.folder / f"act-{clone.name}"), "--concurrent-jobs", "1"]
        command += [
            "-a",
            "ada",
            "-s",
            "GITHUB_TOKEN=the-token-of-the-run",
            "--var",
            f"ENVIRONMENTS={json.dumps(ENVIRONMENTS)}",
            "--var",
            f"SCHEDULES={json.dumps(ENVIRONMENTS)}",
            "--var",
            f"RATCHET_HOME={self.home}",
        ]
        command += [text for name, value in own.items() for text in ("--env", f"{name}={value}")]
        command += [text for name, value in inputs.items() for text in ("--input", f"{name}={value}")]
        command += replaced(clone)
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RATCHET_", "COV_", "GITHUB_", "MAKE", "MFLAGS"))
        }
        return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, workflow: str, event: str, at: datetime, ref: str = MAIN, **more: Any) -> Ran:
        """Run a workflow to its end; ``more`` as :meth:`start` takes it."""
        began = time.perf_counter()
        process = self.start(workflow, event, at, ref, **more)
        out, _ = process.communicate(timeout=600)
        seconds = time.perf_counter() - began
        self.runs.append((f"{workflow} by {event}", seconds))
        return Ran(process.returncode == 0, said(out), seconds)

    def _push(self, clone: Path, branch: str, message: str, who: str) -> str:
        identity = ["-c", f"user.name={who}", "-c", f"user.email={who}@example.com"]
        self._git(clone, "add", "--all")
        self._git(clone, *identity, "commit", "-q", "-m", message)
        self._git(clone, "push", "-q", "--force", str(self.bare), f"HEAD:refs/heads/{branch}")
        return self.github.git("rev-parse", branch)

    def _git(self, clone: Path, *arguments: str) -> None:
        subprocess.run(["git", "-C", clone, *arguments], check=True, capture_output=True)


def replaced(repository: Path) -> Sequence[str]:
    """Return the options that give act a stand-in for each action of others that the repository's workflows use."""
    files = [*repository.glob(".github/workflows/*.yml"), *repository.glob(".github/actions/*/action.yml")]
    used = {one for file in files for one in re.findall(r"uses: ([\w.-]+/[\w.-]+)(?:/[\w-]+)?@(\w+)", file.read_text())}
    stand_ins = {"actions": "pulumi"}  # pulumi/actions; the others by their own names
    options = []
    for action, sha in sorted(used):
        folder = HERE / "actions" / stand_ins.get(action.partition("/")[2], action.partition("/")[2])
        if folder.exists():
            options += ["--local-repository", f"{action}@{sha}={folder}"]
    return options


def known(clone: Path, workflow: str) -> Path:
    """Return a copy of a workflow without the two keys of 2026 that act 0.2 refuses to read; neither changes a command."""
    text = (clone / ".github/workflows" / workflow).read_text()
    copy = clone.with_name(f"{clone.name}-{workflow}")
    copy.write_text(re.sub(r"^ +(queue: max|deployment: false).*\n", "", text, flags=re.MULTILINE))
    return copy


def said(out: str) -> str:
    """Return what act printed, less the prefixes of its lines."""
    return re.sub(r"^\[[^\]]*\] ?", "", out, flags=re.MULTILINE)
