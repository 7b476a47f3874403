"""Provenance: the code that made a candidate."""

import hashlib
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from pipelines.config import Code, Problem

_UNVERSIONED = "unversioned"
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def code(problem: Problem, root: Path, made_from: str | None = None) -> Code:
    """Return the commit of the work tree at ``root``, whether files differ from it, and the locks' hashes.

    In a container the commit is the image's, ``made_from``; outside a git checkout it is ``"unversioned"``.
    """
    commit = made_from or _git(root, "rev-parse", "HEAD")
    lock = root / "uv.lock"
    return Code(
        commit=commit or _UNVERSIONED,
        modified=not commit or (not made_from and bool(_git(root, "status", "--porcelain", "--untracked-files=no"))),
        lock_sha256=hashlib.sha256(lock.read_bytes() if lock.exists() else b"").hexdigest(),
        problem_sha256=problem.config.sha256(),
    )


def committed(root: Path, commit: str) -> datetime | None:
    """Return when a commit was made, or None where the checkout at ``root`` does not have it."""
    seconds = _git(root, "show", "--no-patch", "--format=%ct", commit, "--") if _HASH.fullmatch(commit) else ""
    return datetime.fromtimestamp(int(seconds), UTC) if seconds.isdecimal() else None


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
