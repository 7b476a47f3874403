"""A checkout is the unit of use: it is installed in place, and no package is built of it."""

import subprocess
import sys
import tomllib
import zipfile

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.cloud.emulator import ROOT


def hatchling(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_a_package_is_refused_with_what_to_do_instead(tmp_path, target):
    done = hatchling("--target", target, "--directory", str(tmp_path))
    assert done.returncode != 0
    assert "collide with other packages" in done.stderr and "run 'uv sync'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_editable_install_has_the_commands(tmp_path):
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["editable"])  # as `uv sync` asks
    with zipfile.ZipFile(wheel) as made:
        (name,) = [one for one in made.namelist() if one.endswith("entry_points.txt")]
        stated = made.read(name).decode()
    for script, function in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"].items():
        assert f"{script} = {function}" in stated
