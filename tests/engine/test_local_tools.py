"""The commands of other tools in docs/local.md, as far as the tools can be had without Docker: what they take exists."""

import re
import subprocess

import pytest

from tests.engine.pages import commands

pytestmark = pytest.mark.engine
LINES = [line for line in commands("local", "A walk through it") if line.startswith("kind ")]


def verbs(line: str) -> list[str]:
    """Return the words of a command before its flags and its arguments, which have capitals."""
    words = line.split()
    return words[: next((at for at, word in enumerate(words) if re.search("^-|[A-Z]", word)), len(words))]


def test_the_page_shows_how_kind_gets_a_cluster_and_images():
    assert [verbs(line)[1:] for line in LINES] == [
        ["create", "cluster"],
        ["load", "docker-image"],
        ["delete", "cluster"],
    ]


@pytest.mark.parametrize("line", LINES)
def test_kind_has_the_command_and_its_flags(built, line):
    told = subprocess.run(
        [built / "kind", *verbs(line)[1:], "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert f"Usage:\n  {' '.join(verbs(line))} " in told
    assert all(re.search(rf"{flag}\b", told) for flag in re.findall(r"--[a-z-]+", line))
