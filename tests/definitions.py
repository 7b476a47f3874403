"""The tiny problem with other definitions of its features: what ``model/`` is after somebody edited it."""

import itertools
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from pipelines.bootstrap import Platform
from pipelines.feature.offline import with_features
from pipelines.registry.carried import trained
from pipelines.registry.scoring import Scorer, columns
from pipelines.storage.tables import TIMESTAMP
from tests.conftest import NOW, ROOT
from tests.problems import parcels

WIDER = ("INTERVAL 3 HOURS", "INTERVAL 4 HOURS"), ("lookback=timedelta(hours=3)", "lookback=timedelta(hours=4)")
WEIGHTLESS = (
    ('weight = { type = "float", min = 0, max = 200, nullable = true }\n', ""),
    ('        "weight": request["weight"],\n', ""),
    ('"weight": NUMERIC, ', ""),
)
"""Requests that lack a field from which the features of models in service are computed."""
POUNDS = ('        "weight": request["weight"],\n', '        "weight": request["weight"] * 2.2,\n')

_GIVEN = parcels.read("parcels", NOW, NOW + timedelta(days=2))
_MOMENTS = pa.array([NOW + timedelta(minutes=number) for number in range(_GIVEN.num_rows)], TIMESTAMP)
ROWS = _GIVEN.set_column(_GIVEN.column_names.index("asked_at"), "asked_at", _MOMENTS)
"""Requests a minute apart: while the features of ``NOW`` are valid."""

_NUMBERS = itertools.count(1)


def edited(folder: Path, *changes: tuple[str, str], **files: str) -> str:
    """Write the problem as a package of its own, parcels.py and problem.toml changed, and return its name.

    ``files`` are written besides, by module name. The folder has to be on the path.
    """
    name = f"parcels_{next(_NUMBERS)}"
    package, source = folder / name, ROOT / "tests/problems"
    package.mkdir(parents=True)
    texts = {
        path.name: path.read_text() for path in [source / "parcels.py", *(source / "late").iterdir()] if path.suffix
    }
    for before, after in changes:
        (where,) = (file for file in ("parcels.py", "problem.toml") if before in texts[file])
        texts[where] = texts[where].replace(before, after)
    for file, text in (texts | {f"{module}.py": text for module, text in files.items()}).items():
        (package / file).write_text(text.replace("tests.problems.parcels", f"{name}.parcels"))
    return name


def expected(platform: Platform, version: int) -> Mapping[str, float]:
    """Return by key what a version predicts for each of ``ROWS``, from its own features as they are offline."""
    manifest = platform.models.manifest(platform.models.versions()[version])
    own = trained(platform.problem, platform.models, manifest)
    frame = with_features(own, platform.tables, {}, ROWS)
    scored = Scorer(platform.models.onnx(manifest.sha256()), own.features)(columns(frame, own.features))
    return dict(zip(frame["key"].to_pylist(), scored.tolist(), strict=True))
