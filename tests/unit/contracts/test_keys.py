"""Keys of the object store: spelt in one module, and indexes that list the latest first."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.contracts import keys
from tests.conftest import ROOT

PREFIXES = [value for name, value in vars(keys).items() if name.isupper() and str(value).endswith("/")]
SPELT = re.compile(rf"""f?["'](?:{"|".join(PREFIXES)})(?:\*|\{{|[\w-]*["'])""")
ELSEWHERE = {
    "infra/bootstrap/permissions/people.py",  # roles of people: to be read beside the names of buckets
    "infra/bootstrap/permissions/plan.py",
    "infra/tools/stack.py",  # releases/ in the checkout, not in the store
    "pipelines/github/follow.py",
    "pipelines/github/propose.py",
}


def spelt(text):
    return SPELT.findall(text)


def test_no_other_module_spells_a_key():
    files = [path for room in ("pipelines", "infra", "monitoring") for path in (ROOT / room).rglob("*.py")]
    home = ROOT / "pipelines/contracts/keys.py"
    found = {path.relative_to(ROOT).as_posix() for path in files if path != home and spelt(path.read_text())}
    assert found == ELSEWHERE


@pytest.mark.parametrize("text", ['read(f"runs/{run_id}/run.json")', 'keys("versions/")', 'write=["models/*"]'])
def test_a_key_that_is_spelt_out_is_found(text):
    assert spelt(text)


def test_roles_of_people_name_only_prefixes_that_exist():
    known = {*PREFIXES, keys.STACK}
    for name in ("people", "plan"):
        text = (ROOT / f"infra/bootstrap/permissions/{name}.py").read_text()
        named = re.findall(r'"(?:\{name\}-\*/)?([a-z-]+/)\*"', text)
        assert named and set(named) <= known | {"athena/", "queries/", "key/"}, name


def test_an_index_lists_the_latest_run_first_and_tells_what_it_holds():
    first = datetime(2026, 1, 1, 12, 0, 0, 123000, UTC)
    moments = [first, first + timedelta(milliseconds=1), first + timedelta(days=400)]
    listed = sorted(keys.run_index(at, "feature", f"run.{number}")[0] for number, at in enumerate(moments))
    assert [keys.indexed_run(key) for key in listed] == [
        (at, "feature", f"run.{number}") for number, at in reversed([*enumerate(moments)])
    ]
