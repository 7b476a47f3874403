"""The boundary: what of an error a person is told, and what stays a fault of the program."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from pipelines.adapters.local.objects import FileObjects
from pipelines.config import DataError, StrictModel, UserError
from pipelines.orchestration.boundary import data_error
from pipelines.orchestration.pipeline import Pipeline
from pipelines.orchestration.runner import Runner
from pipelines.storage.sql import session


class Nothing(StrictModel):
    """No parameters."""


def of_engine(kind, text):
    """Return an error as code of the engine raises it."""
    code = compile(f"def fail(): raise {kind.__name__}({text!r})", __file__, "exec")
    names = {"__name__": "pipelines.example"}
    exec(code, names)
    return caught(names["fail"])


def caught(function):
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("it raises")


def in_engine(source):
    names = {"__name__": "pipelines.example", "pa": pa, "duckdb": duckdb, "session": session, "np": np}
    names["LogisticRegression"] = LogisticRegression
    exec(compile(source, __file__, "exec"), names)
    return caught(names["fail"])


@pytest.mark.parametrize(
    ("source", "library"),
    [
        ("def fail(): pa.array(['x']).cast(pa.int64())", "pyarrow"),
        ("def fail():\n    with session() as s: s.sql(\"SELECT 'x'::INTEGER\").fetchall()", "duckdb"),
        ("def fail(): LogisticRegression().fit([[np.inf], [1.0]], [0, 1])", "sklearn"),
    ],
)
def test_what_a_library_raises_over_data_is_told_with_the_place(source, library):
    told = data_error(in_engine(source), "training/train of run r")
    assert isinstance(told, DataError)
    assert str(told).startswith(f"training/train of run r: {library} refuses the data or a setting: ")


def test_an_error_of_the_team_s_code_is_told_with_its_line():
    told = data_error(caught(lambda: {}["fare"]), "feature/engineer of run r")
    assert isinstance(told, DataError)
    assert "orchestration/test_boundary.py, line" in str(told)
    assert str(told).endswith("fails: KeyError: 'fare'")


@pytest.mark.parametrize("kind", [KeyError, TypeError, ValueError])
def test_a_fault_of_the_engine_keeps_its_traceback(kind):
    error = of_engine(kind, "a bug")
    assert data_error(error, "here") is error


@pytest.mark.parametrize("sql", ["SELECT 1 + ", "SELECT fare", "FROM nowhere"])
def test_sql_of_the_engine_that_cannot_run_keeps_its_traceback(sql):
    error = in_engine(f"def fail():\n    with session() as s: s.sql({sql!r})")
    assert data_error(error, "here") is error


def test_an_error_that_is_clear_already_stays():
    error = UserError("clear")
    assert data_error(error, "here") is error


def fail() -> bytes:
    pa.array(["x"]).cast(pa.int64())
    return b""


def test_a_step_s_error_is_told_and_its_traceback_kept_in_the_log(tmp_path):
    runner, pipeline = Runner(FileObjects(tmp_path), {}.__getitem__), Pipeline("example", Nothing, made=fail)
    runner.start(pipeline, Nothing(), "r")
    with pytest.raises(DataError, match=r"example/fail of run r: .*Failed to parse string: 'x'"):
        runner.run(pipeline, "r")
    assert "Traceback" in runner.record("r", "fail").log[-1]
