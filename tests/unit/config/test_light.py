"""The rooms that every command imports load no heavy library."""

import subprocess
import sys

import pytest

HEAVY = ("duckdb", "mlflow", "numpy", "onnxruntime", "pandas", "pyarrow", "pyiceberg", "sklearn")


def loaded_by(module):
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    "module", ["pipelines.config", "pipelines.contracts", "pipelines.settings", "pipelines.bootstrap"]
)
def test_a_light_room_loads_nothing_heavy(module):
    assert loaded_by(module) == []


def test_a_heavy_room_is_found():
    assert "numpy" in loaded_by("pipelines.feature.request")
