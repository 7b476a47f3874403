"""Keys of the object store: spelt in one module, and indexes that list the latest first."""

import ast
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.contracts import keys
from tests.conftest import ROOT

PREFIXES = tuple(value for name, value in vars(keys).items() if name.isupper() and str(value).endswith("/"))
ROOMS = ("pipelines", "infra", "monitoring")
CHECKOUT = {
    "infra/tools/stack.py",  # releases/ is a folder of the checkout here, not of the store
    "pipelines/github/client.py",
}


def spelt(source):
    """Return the texts of a program that begin with a prefix of the store, or are its document; docstrings are none."""
    tree = ast.parse(source)
    idle = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    found = [node.value for node in texts if id(node) not in idle]
    return [text for text in found if text.removeprefix("/").startswith(PREFIXES) or text == keys.STACK]


def test_no_other_module_spells_a_key():
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    home = ROOT / "pipelines/contracts/keys.py"
    found = {path.relative_to(ROOT).as_posix() for path in files if path != home and spelt(path.read_text())}
    assert found == CHECKOUT


@pytest.mark.parametrize(
    "text",
    [
        'read(f"runs/{run_id}/run.json")',
        'keys("versions/")',
        'write=["models/*"]',
        'f"s3://{bucket}/checkpoints/one"',
        'KEY = "stack.json"',
    ],
)
def test_a_key_that_is_spelt_out_is_found(text):
    assert spelt(text)


@pytest.mark.parametrize("text", ['"""runs/ holds the runs."""', 'keys.RUNS + "one"', '"the runs/ of a day"'])
def test_a_text_that_is_no_key_is_passed_over(text):
    assert not spelt(text)


def test_an_index_lists_the_latest_run_first_and_tells_what_it_holds():
    first = datetime(2026, 1, 1, 12, 0, 0, 123000, UTC)
    moments = [first, first + timedelta(milliseconds=1), first + timedelta(days=400)]
    listed = sorted(keys.run_index(at, "feature", f"run.{number}")[0] for number, at in enumerate(moments))
    assert [keys.indexed_run(key) for key in listed] == [
        (at, "feature", f"run.{number}") for number, at in reversed([*enumerate(moments)])
    ]
