"""The tiny problem with other definitions of its features: what ``model/`` is after somebody edited it."""

import itertools
from pathlib import Path

from tests.conftest import ROOT

WIDER = ("INTERVAL 3 HOURS", "INTERVAL 4 HOURS"), ("lookback=timedelta(hours=3)", "lookback=timedelta(hours=4)")
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
