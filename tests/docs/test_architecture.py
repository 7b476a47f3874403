"""docs/architecture.md names every item of the paper, and what it names exists."""

import pytest

from tests.docs.named import CODE, PATH, ROOT, missing

TEXT = (ROOT / "docs/architecture.md").read_text()
ITEMS = [
    *(f"C{number}" for number in range(1, 10)),
    *(f"P{number}" for number in range(1, 10)),
    *(f"R{number}" for number in range(1, 8)),
    *(str(number) for number in range(1, 29)),
]
CELLS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("| ")]
ROWS = {cells[0]: cells[-1] for cells in CELLS if cells[0]}


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_of_the_paper_is_mapped_or_said_to_be_planned(item):
    where = ROWS[item]
    named = [name for name in CODE.findall(where) if PATH.fullmatch(name) or name.startswith("mlops ")]
    assert named or "planned" in where


def test_everything_named_exists():
    assert missing(TEXT, ROOT / "docs") == []


@pytest.mark.parametrize(
    "name",
    ["pipelines/training/fly.py", "mlops fly", "mlops release fly", "make fly", "fly.toml", ".github/fly/"],
)
def test_a_name_of_nothing_is_found(name):
    assert missing(f"| 1 | A step | `{name}` |") == [name]


def test_a_link_to_nothing_is_found():
    assert missing("[here](docs/fly.md)") == ["docs/fly.md"]
