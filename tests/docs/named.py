"""Finds what a text names that does not exist: paths, commands, make targets, links."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import typer.main

from pipelines.entrypoints.cli import __main__  # noqa: F401  (adds the commands)
from pipelines.entrypoints.cli.app import app

ROOT = Path(__file__).parent.parent.parent
LISTED = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
FILES = [
    name
    for name in subprocess.run(LISTED, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    if (ROOT / name).is_file() and not (ROOT / name).is_symlink()
]
YOURS = tuple(tomllib.loads((ROOT / "ownership.toml").read_text())["yours"])
RECORD = ROOT / "template.json"
CAME = set(json.loads(RECORD.read_text())["files"]) if RECORD.exists() else set(FILES)
JUDGED = [
    name for name in FILES if (ROOT / "cookiecutter.json").exists() or (name in CAME and not name.startswith(YOURS))
]
"""The files whose text is ours to judge: in a repository that was made from the template, what came from it and is not
the team's."""
NAMES = {Path(name).name for name in FILES}
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(\.?[\w.*-]+/)+[\w.*-]*|[\w-]+\.(toml|md|lock|py)")
MEDIA_TYPE = re.compile(r"(application|text)/[\w.+-]+")
COMMAND = re.compile(r"\b(?:mlops|make) [a-z][a-z-]*(?: [a-z]+)?")
LINK = re.compile(r"\]\(([^)#:]+)\)")


def missing(text, folder=ROOT):
    """Return what a text in a folder names and does not exist; a file may go by its name without its folder."""
    code = CODE.findall(text)
    code += [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    commands = [command for piece in code for command in COMMAND.findall(piece.split("#")[0])]
    paths = [piece for piece in code if PATH.fullmatch(piece) and not MEDIA_TYPE.fullmatch(piece)]
    return [
        *(command for command in commands if not _exists(command)),
        *(path for path in paths if not (ROOT / path).exists() and path not in NAMES),
        *(link for link in LINK.findall(text) if not (folder / link).exists()),
    ]


def _exists(command):
    program, name, *rest = command.split()
    if program == "make":
        makefiles = [ROOT / "Makefile", ROOT / ".github/workflows.mk"]
        return name in re.findall(r"^([a-z-]+):", "".join(file.read_text() for file in makefiles), re.MULTILINE)
    found = typer.main.get_command(app).commands.get(name)
    return found is not None and (not rest or not hasattr(found, "commands") or rest[0] in found.commands)
