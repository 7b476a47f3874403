"""The boundary between data and people: what a library raises over bad data or settings becomes one clear error.

Steps and commands meet here. Errors of the team's own code in ``model/`` are told with its line. Everything else that
the engine raises is a fault of the program, and keeps its traceback.
"""

import errno
import sys
import traceback
from pathlib import Path
from types import TracebackType

from pipelines.config.errors import DataError, UserError
from pipelines.storage.ports import Unavailable

_ENGINE = ("infra", "monitoring", "pipelines")
_LIBRARIES = (
    "_duckdb", "duckdb", "numpy", "onnxruntime", "pandas", "polars", "pyarrow", "pydantic", "pydantic_core",
    "pyiceberg", "scipy", "skl2onnx", "sklearn",
)  # fmt: skip
_OUR_SQL = {"BinderException", "CatalogException", "InternalException", "ParserException"}
"""DuckDB's errors of SQL that cannot run: views and labels tell of their own where they run, so here it is ours."""
_NO_SPACE = ("No space left on device", "database or disk is full")  # as libraries say it in errors of their own
_SHOWN = 400  # characters of a library's own words


def data_error(error: Exception, where: str) -> Exception:
    """Return the error that a person is told: itself, or a DataError that says ``where`` and what a library said."""
    if isinstance(error, UserError | Unavailable):
        return error
    if place := _full(error):
        return Unavailable(f"{where}: no space is left{place}; free some and repeat it")
    raised_in, own = _origin(error.__traceback__)
    says = f"{type(error).__name__}: {error}".strip()
    says = says if len(says) <= _SHOWN else f"{says[:_SHOWN]}…"
    if own is not None:
        return DataError(f"{where}: {own} fails: {says}")
    library = next((name for name in (_root(type(error).__module__), raised_in) if name in _LIBRARIES), None)
    if library is None or (library.endswith("duckdb") and type(error).__name__ in _OUR_SQL):
        return error
    return DataError(f"{where}: {library.lstrip('_')} refuses the data or a setting: {says}")


def _full(error: BaseException | None) -> str:
    """Return where no space is left, ' on the disk' at least, when that is what an error comes from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return f" for {error.filename}" if error.filename else " on the disk"
        if any(told in str(error) for told in _NO_SPACE):
            return " on the disk"
        error = error.__cause__ or error.__context__
    return ""


def _origin(trace: TracebackType | None) -> tuple[str, str | None]:
    """Return the package that raised, and the file and line of the team's code if that is what called it."""
    frames = [frame for frame, _ in traceback.walk_tb(trace)]
    lines = [line for _, line in traceback.walk_tb(trace)]
    roots = [_root(frame.f_globals.get("__name__", "")) for frame in frames]
    for root, frame, line in reversed(list(zip(roots, frames, lines, strict=True))):
        if root in _ENGINE:
            break
        file = Path(frame.f_code.co_filename)
        if not _installed(root, file):
            return roots[-1], f"{file.parent.name}/{file.name}, line {line}, in {frame.f_code.co_name}"
    return roots[-1] if roots else "", None


def _installed(root: str, file: Path) -> bool:
    """Say whether code is Python's own or a package's, and not the team's."""
    return root in sys.stdlib_module_names or "site-packages" in file.parts or not file.exists()


def _root(module: str) -> str:
    return module.partition(".")[0]
