"""The meaning of SQL and Python: what changes it, what does not, and that every Python agrees."""

import importlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import meaning
from pipelines.config.meaning import function_text, modules_of, named_text, package_sources, sql_text
from tests.conftest import ROOT

FEATURES = '''
"""What the model is fed."""
from __future__ import annotations

import math
from functools import lru_cache

from . import rates
from .places import DEPOTS as KNOWN, far, Place

LIMIT: float = 10
_SEEN = {}


def delay(rows: list[dict], /, *, scale: int = 2) -> list[float]:
    """Return the delays."""
    # in minutes
    weather = [far(row) for row in rows if row["depot"] in KNOWN]
    return [min(LIMIT, math.sqrt(one) * scale * rates.of("é\\U0001FAE8")) for one in weather]


def told(rows):
    match rows:
        case {"depot": name, **rest} if (count := len(rest)) > 1:
            return f"{name!r:>{count}} {count=} {{}} " f"and {'more' + ''}" "!"
        case [first, *others]:
            return lambda: (first, others, _cached(1))
    try:
        yield from (x for x in rows)
    except* ValueError as error:
        raise error


@lru_cache(maxsize=None)
def _cached(key: int) -> int:
    return len(_SEEN) + key


def weather(rows):
    return Place(rows).neighbour


BOTH = (lambda rows: rows[0], lambda rows: rows[-1])
'''
PLACES = '''
from dataclasses import dataclass

DEPOTS = ("berlin", "lyon")


@dataclass
class Place:
    """A place."""

    rows: list
    neighbour: int = 1


def far(row):
    return abs(row["km"] - _ORIGIN)


_ORIGIN = -1.5e-7
'''
RATES = """
_RATES = {}
_RATES["berlin"] = 1_000


def of(name):
    return _RATES.get(name, 0x10)
"""
MODULES = {"__init__": "", "features": FEATURES, "places": PLACES, "rates": RATES}
NAMES = ("delay", "told", "weather", "_cached")


def written(folder: Path, **changed: str) -> meaning.Sources:
    package = folder / "shop"
    package.mkdir(exist_ok=True)
    for name, text in (MODULES | changed).items():
        (package / f"{name}.py").write_text(text)

    def find(name: str) -> Path | None:
        path = folder.joinpath(*name.split("."))
        return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)

    return find


def meant(folder: Path, name: str = "delay", **changed: str) -> str:
    return named_text("shop.features", name, written(folder, **changed))


@pytest.mark.parametrize(
    ("module", "before", "after"),
    [
        ("features", '"""What the model is fed."""', '"""What a model is fed today."""'),
        ("features", '    """Return the delays."""\n', ""),
        ("features", "    # in minutes\n", "    # in minutes of the clock\n\n"),
        ("features", "rows: list[dict], /", "rows, /"),
        ("features", "LIMIT: float = 10", "LIMIT = 10"),
        ("features", "math.sqrt(one) * scale", "(math.sqrt(one)\n        * scale)"),
        ("features", "Place(rows).neighbour", "Place(rows).neighbour + 1"),
        ("features", "yield from (x for x in rows)", "yield from rows"),
        ("features", "import math\n", "import math\nimport csv\n"),
        ("places", "neighbour: int = 1", "neighbour: int = 2"),
        ("places", '    """A place."""\n', '    """Any place."""\n'),
        ("places", '\n\ndef far(row):\n    return abs(row["km"] - _ORIGIN)\n', ""),
    ],
)
def test_words_layout_hints_and_neighbours_mean_nothing(tmp_path, module, before, after):
    text = MODULES[module].replace(before, after)
    assert text != MODULES[module]
    if "def far" in before:  # to another place in the file
        text += before
    assert meant(tmp_path, **{module: text}) == meant(tmp_path)


@pytest.mark.parametrize(
    ("module", "before", "after"),
    [
        ("features", "math.sqrt(one) * scale", "math.sqrt(one) + scale"),
        ("features", "scale: int = 2", "scale: int = 3"),
        ("features", "LIMIT: float = 10", "LIMIT: float = 10.0"),
        ("features", "LIMIT: float = 10", "LIMIT: bool = True"),
        ("features", "import math\n", "import numpy as math\n"),
        ("features", "from . import rates\n", "from shop import places as rates\n"),
        ("features", "DEPOTS as KNOWN, far", "DEPOTS as KNOWN, near as far"),
        ("places", '("berlin", "lyon")', '("berlin", "porto")'),
        ("places", "abs(row", "round(row"),
        ("places", "_ORIGIN = -1.5e-7", "_ORIGIN = 1.5e-7"),
        ("rates", "0x10", "17"),
        ("rates", '_RATES["berlin"] = 1_000', '_RATES["berlin"] = 1_001'),
    ],
)
def test_what_a_function_calls_is_part_of_its_meaning(tmp_path, module, before, after):
    text = MODULES[module].replace(before, after)
    assert text != MODULES[module]
    if "near" in after:
        written(tmp_path)
        changed = {"features": text, "places": PLACES + "\ndef near(row):\n    return 0\n"}
        assert meant(tmp_path, **changed) != meant(tmp_path)
    else:
        assert meant(tmp_path, **{module: text}) != meant(tmp_path)


def test_the_hints_of_a_dataclass_and_of_what_is_decorated_are_kept(tmp_path):
    hinted = PLACES.replace("neighbour: int = 1", "neighbour: float = 1")
    assert meant(tmp_path, "weather", places=hinted) != meant(tmp_path, "weather")
    decorated = FEATURES.replace("_cached(key: int)", "_cached(key: str)")
    assert meant(tmp_path, "_cached", features=decorated) != meant(tmp_path, "_cached")


def test_a_helper_may_move_to_another_module(tmp_path):
    moved = {
        "places": PLACES.replace('def far(row):\n    return abs(row["km"] - _ORIGIN)\n\n\n_ORIGIN = -1.5e-7\n', ""),
        "distance": '_ORIGIN = -1.5e-7\n\ndef far(row):\n    return abs(row["km"] - _ORIGIN)\n',
        "features": FEATURES.replace(", far, Place", ", Place\nfrom shop.distance import far"),
    }
    assert meant(tmp_path, **moved) == meant(tmp_path)


def test_the_modules_of_a_package_that_one_imports_are_found(tmp_path):
    sources = written(tmp_path, other="import shop.features")
    assert [*modules_of("shop.features", sources)] == ["shop", "shop.features", "shop.places", "shop.rates"]
    assert "shop.rates" in modules_of("shop.other", sources)


# ---- functions as objects -------------------------------------------------------------------------------------------


def scaled(factor, kind=None):
    return lambda rows: [factor * row for row in rows]


def test_functions_that_were_made_by_another_differ_in_what_they_hold():
    assert function_text(scaled(2)) == function_text(scaled(2)) != function_text(scaled(3))
    assert function_text(scaled(timedelta(hours=2))) != function_text(scaled(timedelta(hours=3)))
    assert function_text(partial(scaled, 2)) != function_text(partial(scaled, factor=2))
    assert function_text(scaled(len)) != function_text(scaled(abs))
    assert function_text(scaled({"a": (1, [2.0, b"x"]), "b": {1, 2}})) == function_text(
        scaled({"a": (1, [2.0, b"x"]), "b": {2, 1}})
    )
    held = [(lambda rows, hours=hours: hours) for hours in (1, 2)]
    assert function_text(held[0]) != function_text(held[1])


def test_a_lambda_is_told_from_those_on_other_lines():
    one = lambda rows: rows[0]  # noqa: E731
    other = lambda rows: rows[1]  # noqa: E731
    assert function_text(one) != function_text(other)


@pytest.mark.parametrize("unknown", [object(), scaled(object()), "text".upper, eval("lambda rows: rows")])
def test_what_has_no_text_is_refused(unknown):
    with pytest.raises(ValueError, match=r"no text|no source|holds a state"):
        function_text(scaled(unknown))


# ---- SQL ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [
        "select depot,QUEUE\nfrom scans where note<>'It''s -- not'  and \"Depot\">1",
        "SELECT depot, -- the depot\n queue FROM scans /* all\nof them */ WHERE note <> 'It''s -- not' AND \"Depot\" > 1;",
    ],
)
def test_sql_means_the_same_without_comments_and_in_any_layout_and_case(same):
    sql = "SELECT depot, queue FROM scans WHERE note <> 'It''s -- not' AND \"Depot\" > 1"
    assert sql_text(same) == sql_text(sql)


@pytest.mark.parametrize(
    "other",
    [
        "SELECT 'A', $$B$$, E'it\\'s c', \"D\" FROM t",
        "SELECT 'a', $$B $$, E'it\\'s c', \"D\" FROM t",
        "SELECT 'a', $$B$$, E'it\\'s C', \"D\" FROM t",
        "SELECT 'a', $$B$$, E'it\\'s c', \"d\" FROM t",
        "SELECT 'a', $$B$$, E'it\\'s c', \"D\", 1 FROM t",
        "SELECT 'a', $$b$$, E'it\\'s c', \"D\" FROM t",
    ],
)
def test_what_is_quoted_in_sql_keeps_its_case_and_layout(other):
    assert sql_text(other) != sql_text("SELECT 'a', $$B$$, E'it\\'s c', \"D\" FROM t")


TOKENS = [
    "select",
    "a",
    "b",
    "1",
    "1.5",
    "'x y'",
    "'X'",
    '"a"',
    "+",
    "-",
    ",",
    "(",
    ")",
    "from",
    "t",
    "where",
    "<>",
    "<",
]


@given(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=8), st.data())
def test_sql_of_one_text_is_of_one_syntax_tree(tokens, data):
    """DuckDB, asked for its own syntax tree, finds what we call the same to be the same."""
    sql = " ".join(["select", *tokens])
    gaps = data.draw(st.lists(st.sampled_from([" ", "\n", " /* a */ ", " -- b\n"]), min_size=len(tokens) + 1))
    other = "".join(
        f"{word if word[0] in chr(39) + chr(34) else word.upper()}{gap}"
        for word, gap in zip(["select", *tokens], gaps, strict=False)
    )
    assert sql_text(other) == sql_text(sql)
    trees = _tree(other), _tree(sql)  # 'a' 'b' is one string over two lines and no SQL on one
    assert None in trees or trees[0] == trees[1]


def _tree(sql: str) -> object:
    (text,) = duckdb.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()  # type: ignore[misc]

    def plain(node: object) -> object:
        if isinstance(node, dict):
            return {k: plain(v) for k, v in node.items() if not k.startswith("query_location")}
        return (
            [plain(one) for one in node] if isinstance(node, list) else node.lower() if isinstance(node, str) else node
        )

    tree = json.loads(text)
    return None if tree["error"] else plain(tree)


# ---- every Python ---------------------------------------------------------------------------------------------------


def pythons() -> list[str]:
    """The interpreters of 3.11 and later that this machine has, of any minor version one, beside the running one."""
    found = {".".join(map(str, sys.version_info[:2])): sys.executable}
    homes = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    homes.append(Path(os.environ.get("UV_PYTHON_INSTALL_DIR", Path.home() / ".local/share/uv/python")))
    places = [*(path / "bin" for home in homes if home.is_dir() for path in home.iterdir())]
    places += map(Path, os.get_exec_path())
    for minor in range(11, 20):
        for place in places:
            if (path := place / f"python3.{minor}").is_file():
                found.setdefault(f"3.{minor}", str(path))
    return [found[version] for version in sorted(found, key=lambda text: int(text.partition(".")[2]))]


ASK = """
import importlib.util, json, pathlib, sys
spec = importlib.util.spec_from_file_location("meaning", sys.argv[1])
meaning = importlib.util.module_from_spec(spec)
spec.loader.exec_module(meaning)
root = pathlib.Path(sys.argv[2])
def find(name):
    path = root.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
print(json.dumps([meaning.named_text(*asked.split(":"), find) for asked in sys.argv[3:]]))
"""


def told_by(python: str, root: Path, *names: str) -> list[str]:
    given = [python, "-I", "-c", ASK, meaning.__file__, root, *names]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{python}: {done.stderr}"
    return json.loads(done.stdout)


@pytest.mark.parametrize("python", pythons())
def test_every_python_gives_the_same_text(tmp_path, python):
    written(tmp_path)
    asked = [f"shop.features:{name}" for name in NAMES]
    assert told_by(python, tmp_path, *asked) == [meant(tmp_path, name) for name in NAMES]
    real = ["model.features:VIEWS", "model.features:REQUEST_FEATURES"]
    if importlib.util.find_spec("model"):
        assert told_by(python, ROOT, *real) == told_by(sys.executable, ROOT, *real)


def test_a_python_reads_its_own_package_as_the_files_are(tmp_path):
    sources = package_sources("tests.problems.late")
    assert sources("tests.problems.parcels") == ROOT / "tests/problems/parcels.py"
    assert sources("tests.problems.parcels.VIEWS") is sources("numpy") is None
