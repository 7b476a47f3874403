"""Checks of the repository: what is left to do, what is wrong, and which engine files were changed."""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.config import Problem, StrictModel, UserError, load_toml
from pipelines.doctor.findings import Finding, FindingState, todo

PLACEHOLDER = re.compile(r"[\w.+-]+@example\.(?:com|org|net)\b|@your-[a-z]+\b|github\.com/your-[a-z]+\b")
PLACES = ("pyproject.toml", ".github/CODEOWNERS", "model/problem.toml")


class Ownership(StrictModel):
    """``ownership.toml``: whether a file is the team's or the engine's; the longest match counts."""

    yours: tuple[str, ...]
    engine: tuple[str, ...]
    extension_points: tuple[str, ...]

    def is_compared(self, name: str) -> bool:
        """Return whether a file is the engine's and holds no extension point of the team's."""
        if name in {point.partition(":")[0] for point in self.extension_points}:
            return False
        return _match(name, self.engine) > _match(name, self.yours)


class Template(StrictModel):
    """``template.json``: the files as they came from the template, written when the repository was made or updated."""

    commit: str | None
    files: dict[str, str]


def examine_repository(root: Path, package: str) -> list[Finding]:
    """Return the findings of every check of the repository, and of the problem in ``package``."""
    return [
        *conflicts(root),
        python(root, sys.version_info[:2]),
        lock(root),
        git(root),
        *problem(package),
        releases(root),
        *placeholders(root),
        *engine(root),
    ]


def conflicts(root: Path) -> Iterator[Finding]:
    """Find what an update or a merge left for a person: marks of conflicts in files, and changes that did not fit."""
    command = ["git", "grep", "--files-with-matches", "--extended-regexp", "^(<<<<<<<|>>>>>>>) "]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # what git says of the repository is another finding
        return
    for name in done.stdout.splitlines():
        yield todo("conflict", f"{name} holds marks of a conflict; merge what lies between '<<<<<<<' and '>>>>>>>'")
    for path in sorted(path for path in root.rglob("*.rej") if ".venv" not in path.parts):
        yield todo("conflict", f"{path.relative_to(root)}: merge what it holds, then delete it")


def project(root: Path) -> dict[str, Any]:
    """Return ``[project]`` of ``pyproject.toml``.

    Raises:
        UserError: for a file that is missing, broken, or without it.
    """
    try:
        found: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except FileNotFoundError as error:
        raise UserError("is missing; take it back from git") from error
    except (ValueError, KeyError) as error:
        raise UserError(f"cannot be read, so uv cannot either; mend it, or take it back from git ({error})") from error
    return found


def python(root: Path, version: tuple[int, ...]) -> Finding:
    """Check the running Python against ``requires-python``."""
    try:
        wanted = project(root)["requires-python"]
    except UserError as error:
        return todo("pyproject.toml", str(error))
    lowest, above = (tuple(map(int, pair)) for pair in re.findall(r"(\d+)\.(\d+)", wanted))
    running = ".".join(map(str, version))
    if lowest <= version < above:
        return Finding(check="Python", state=FindingState.OK, says=running)
    return Finding(check="Python", state=FindingState.TODO, says=f"{running} runs, the project needs {wanted}")


def lock(root: Path) -> Finding:
    """Check that ``uv.lock`` exists and fits ``pyproject.toml``."""
    uv = shutil.which("uv") or shutil.which(root / ".uv/bin/uv")
    if not (root / "uv.lock").exists():
        return Finding(check="uv.lock", state=FindingState.TODO, says="is missing; run 'uv lock', then commit it")
    if not uv:
        return Finding(check="uv.lock", state=FindingState.NOTE, says="exists; install uv to check that it is current")
    done = subprocess.run([uv, "lock", "--check", "--offline"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        broken = "cannot be read; take it back from git, then run 'uv lock'"
        parsed = "Failed to parse" in done.stderr and "uv.lock" in done.stderr
        says = broken if parsed else "does not fit pyproject.toml; run 'uv lock'"
        return Finding(check="uv.lock", state=FindingState.TODO, says=says)
    return Finding(check="uv.lock", state=FindingState.OK, says="is current")


def git(root: Path) -> Finding:
    """Check that there is a commit, to which every model can be traced."""
    try:
        command = ["git", "rev-parse", "--short", "HEAD"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return Finding(check="git", state=FindingState.TODO, says="is not installed; models are traced to commits")
    if done.returncode:
        says = "there is no commit to trace models to; run 'git init && git add --all && git commit'"
        return Finding(check="git", state=FindingState.TODO, says=says)
    return Finding(check="git", state=FindingState.OK, says=f"at {done.stdout.strip()}")


def problem(package: str) -> Iterator[Finding]:
    """Check ``problem.toml``; each of its errors is a finding."""
    try:
        found = Problem.load(package)
    except UserError as error:
        for line in str(error).splitlines():
            yield Finding(check="problem", state=FindingState.TODO, says=line)
        return
    yield Finding(check="problem", state=FindingState.OK, says=f"{found.config.name}, in {package}/")


def releases(root: Path) -> Finding:
    """Check the folder of the release files."""
    if (root / "releases").is_dir():
        return Finding(check="releases", state=FindingState.OK, says="the folder is there")
    return Finding(
        check="releases", state=FindingState.TODO, says="is missing; create it, 'mlops propose' writes into it"
    )


def placeholders(root: Path) -> Iterator[Finding]:
    """Find placeholders for names and addresses that were not replaced."""
    for place in PLACES:
        text = (root / place).read_text(encoding="utf-8") if (root / place).exists() else ""
        for found in dict.fromkeys(PLACEHOLDER.findall(text)):
            says = f"{place}: replace {found} by your own"
            yield Finding(check="placeholder", state=FindingState.TODO, says=says)


def engine(root: Path) -> Iterator[Finding]:
    """List the engine's files that differ from the template."""
    if not (root / "template.json").exists():
        says = "no template.json: this is the template itself, or was not made from it"
        yield Finding(check="engine", state=FindingState.NOTE, says=says)
        return
    try:
        came = Template.from_json((root / "template.json").read_bytes())
    except ValueError as error:
        says = f"template.json cannot be read; take it back from git ({str(error).splitlines()[0]})"
        yield Finding(check="engine", state=FindingState.TODO, says=says)
        return
    config = "model/problem.toml"
    if config in came.files and came.files[config] == _digest(root / config):
        yield Finding(
            check="problem", state=FindingState.NOTE, says="model/ is still the reference problem; put your own there"
        )
    whose = load_toml(root / "ownership.toml", Ownership)
    compared = [name for name in came.files if whose.is_compared(name)]
    changed = [name for name in compared if _digest(root / name) != came.files[name]]
    for name in changed:
        what = "was changed" if (root / name).exists() else "was deleted"
        yield Finding(
            check="engine", state=FindingState.NOTE, says=f"{name} {what}; an update that changes it asks you to merge"
        )
    if not changed:
        says = f"its {len(compared)} files are as they came from the template"
        yield Finding(check="engine", state=FindingState.OK, says=says)


def _match(name: str, paths: tuple[str, ...]) -> int:
    """Return the length of the longest path that is the file or a folder it is in, or -1; "" is the root."""
    holding = (path for path in paths if name == path or (name.startswith(path) and (not path or path[-1] == "/")))
    return max(map(len, holding), default=-1)


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of a file with the line ends of the template, or None where there is none."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest() if path.is_file() else None
