"""Publishes a version of this repository: ``make release-check``, then ``make release``, by release.yml on a tag.

The version is the one in pyproject.toml, its notes are the section of that version in CHANGELOG.md. Runs on any Python
with its standard library alone, because the job that may write to the repository installs nothing.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

SECTION = r"^## {version} - (?P<day>\d{{4}}-\d{{2}}-\d{{2}})\n(?P<notes>.*?)(?=^## |\Z)"


def notes(tag: str) -> str:
    """Return the notes of the version that a tag names; exits with the reason where it may not be published."""
    version = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if tag != f"v{version}":
        sys.exit(f"The tag is {tag!r} and pyproject.toml has version {version}: tag v{version}, or change the version.")
    pattern = SECTION.format(version=re.escape(version))
    found = re.search(pattern, Path("CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if not found or not found["notes"].strip():
        sys.exit(f"CHANGELOG.md has no notes under '## {version} - YYYY-MM-DD': move them there from '## Unreleased'.")
    merged = ["git", "merge-base", "--is-ancestor", "HEAD", "origin/main"]
    if subprocess.run(merged, capture_output=True, check=False).returncode:
        sys.exit(f"main does not have the commit of {tag}: merge it, then tag the commit on main.")
    return found["notes"].strip()


def publish(tag: str, body: str) -> str:
    """Create the GitHub release of a tag unless it exists, and return its address."""
    found = _call("GET", f"/releases/tags/{tag}")
    if found is None:
        found = _call("POST", "/releases", {"tag_name": tag, "name": tag, "body": body})
    assert found is not None
    return str(found["html_url"])


def _call(method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any] | None:
    """Call GitHub's API for this repository; None stands for what does not exist."""
    request = urllib.request.Request(  # noqa: S310  (GitHub sets the address)
        f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{os.environ['GITHUB_REPOSITORY']}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404 and method == "GET":
                return None
            sys.exit(f"GitHub refuses {method} {path}: {error.code} {error.read().decode(errors='replace')}")
    except urllib.error.URLError as error:
        sys.exit(f"GitHub does not answer: {error.reason}; run the job again.")


if __name__ == "__main__":
    command, name = sys.argv[1:]
    text = notes(name)
    print(text if command == "check" else publish(name, text))  # noqa: T201
