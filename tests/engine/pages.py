"""The commands of the docs' pages, as the engine's tests run them."""

import re

from tests.engine.build import ROOT


def commands(page: str, heading: str) -> list[str]:
    """Return the lines of shell under a heading of a page of docs/, without their comments; a line that goes on is one."""
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    part = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert part, f"docs/{page}.md has no heading {heading!r}"
    blocks = "".join(re.findall(r"```sh\n(.*?)```", part[1], re.DOTALL)).replace("\\\n", " ")
    lines = (re.sub(r"(^|\s+)#.*", "", line) for line in blocks.splitlines())
    return [line for line in lines if line]


def headings(page: str) -> list[str]:
    """Return the headings of a page of docs/, in their order."""
    return re.findall(r"^## (.+)$", (ROOT / f"docs/{page}.md").read_text(encoding="utf-8"), re.MULTILINE)
