"""Baking for real: the command line of cookiecutter and of cruft, with a home of their own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config

from tests.conftest import ROOT

TEMPLATE = json.loads((ROOT / "cookiecutter.json").read_text())
PROMPTS = [name for name in TEMPLATE if not name.startswith("_")]
DEFAULTS = prompt_for_config(generate_context(str(ROOT / "cookiecutter.json")), no_input=True)
OTHER = {
    "project_slug": "fleet-prices-of-all-the-eastern-regions",
    "description": 'Préis "der" \\ Flotte, ça va 🚚',
    "author_name": "Zoë 'Ż' Łukasz",
    "email": "zoe@acme.dev",
    "github_owner": "acme-gmbh",
    "approvers": "@ada @acme-gmbh/owners",
    "aws_region": "ap-southeast-2",
    "monthly_budget": "99.50",
    "licence": "MIT",
    "init_git": "no",
}

Bake = Callable[..., Path]


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it prints."""
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@acme.dev", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content of each file below a folder, git's own aside, and whether it may be run."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] != ".git")
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o111) for path in found}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit: the files of this one as they are now."""
    folder = tmp_path_factory.mktemp("template") / "ratchet"
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in listed:
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    git(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "the template")
    return folder


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Environment variables under which nothing of the user's is read or written."""
    home = tmp_path_factory.mktemp("home")
    (home / "config.yaml").write_text(f"cookiecutters_dir: {home}/templates\nreplay_dir: {home}/replay\n")
    (home / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@acme.dev\n")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("COV_")},
        "HOME": str(home),
        "COOKIECUTTER_CONFIG": str(home / "config.yaml"),
        "COLUMNS": "200",
    }


@pytest.fixture
def run(environ: Mapping[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run cookiecutter or cruft in an empty folder."""

    def call(*command: str, typed: str = "", cwd: Path = tmp_path, **more: str) -> subprocess.CompletedProcess[str]:
        where = {**environ, **more, "PWD": str(cwd)}
        arguments = [sys.executable, "-m", *command]
        return subprocess.run(arguments, cwd=cwd, env=where, input=typed, capture_output=True, text=True, check=False)

    return call


@pytest.fixture
def bake(run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Bake:
    """Bake a template with answers, or the defaults, and return the project."""

    def call(template: Path | str, environ: Mapping[str, str] | None = None, **answers: str) -> Path:
        given = [f"{name}={value}" for name, value in {"init_git": "no", **answers}.items()]
        done = run("cookiecutter", str(template), "--no-input", *given, **(environ or {}))
        assert done.returncode == 0, done.stderr + done.stdout
        return tmp_path / answers.get("project_slug", DEFAULTS["project_slug"])

    return call


def without_the_names_of_the_engine(text: str) -> str:
    """Return a text without the two names that are the engine's own: of its variables, and of its folder."""
    return re.sub(r"RATCHET_|\.ratchet\b", "", text).casefold()
