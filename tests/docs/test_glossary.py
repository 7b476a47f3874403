"""One word, one meaning: docs/glossary.md explains words in use, each once, and no two classes share a name."""

import re
from collections import Counter

import pytest

from tests.docs.named import FILES, JUDGED, ROOT

PAGE = "docs/glossary.md"
ENTRIES = re.findall(r"^- (.+?)(?=\n- |\n\n|\n\Z)", (ROOT / PAGE).read_text(), re.MULTILINE | re.DOTALL)
TERMS = re.findall(r"\*\*(.+?)\*\*", "\n".join(ENTRIES))
SEARCHED = ("README.md", "docs/", "pipelines/", "monitoring/", "infra/", "model/")
TEXT = "\n".join(
    (ROOT / name).read_text()
    for name in JUDGED
    if name.startswith(SEARCHED) and name.endswith((".md", ".py", ".toml")) and name != PAGE
)


def is_used(term):
    """Return whether a term stands anywhere but in the glossary, as words or as a name."""
    words = r"[\s_-]*".join(re.escape(word) for word in re.split(r"[\s-]", term))
    return re.search(rf"(?<![a-z]){words}", TEXT, re.IGNORECASE) is not None


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_used_in_the_docs_or_the_code(term):
    assert is_used(term)


def test_a_term_that_nobody_uses_is_found():
    assert not is_used("feature flagship")


def test_a_term_is_explained_once():
    assert len({term.casefold() for term in TERMS}) == len(TERMS)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.split("**")[1])
def test_an_entry_is_one_sentence(entry):
    assert entry.endswith(".")
    assert not re.search(r"\.\s+[A-Z]", entry)


CODE = [
    ROOT / name for name in FILES if name.startswith(("pipelines/", "monitoring/", "infra/")) and name.endswith(".py")
]


def shared_names(sources):
    """Return the names of public classes that several of these sources define."""
    names = [name for source in sources for name in re.findall(r"^class ([A-Z]\w*)", source, re.MULTILINE)]
    return sorted(name for name, times in Counter(names).items() if times > 1)


def test_no_two_classes_share_a_name():
    assert shared_names(path.read_text() for path in CODE) == []


def test_two_classes_of_one_name_are_found():
    assert shared_names(["class Node:\n    pass\n", "class Node(NamedTuple):\n    pass\n", "class _Graph:"]) == ["Node"]
