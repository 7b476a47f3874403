"""A model that was taken elsewhere: what is in its folder, and that ONNX Runtime alone predicts with it."""

import hashlib
import json
import subprocess
import sys

import pytest

from pipelines.config import UserError, Variant
from pipelines.registry.model_store import CARD
from pipelines.reporting.export import export

ELSEWHERE = """
import json, sys
import numpy as np
import onnxruntime

schema = json.load(open("schema.json"))
session = onnxruntime.InferenceSession("model.onnx")
types = {"float32": "tensor(float)", "string": "tensor(string)"}
told = {given["name"]: [types[given["type"]], len(given["shape"])] for given in schema["inputs"]}
assert told == {given.name: [given.type, len(given.shape)] for given in session.get_inputs()}

def column(given, value):
    if given["type"] == "string":
        return np.array([[given["missing"] if value is None else value]], dtype=object)
    return np.array([[float(given["missing"]) if value is None else value]], dtype=np.float32)

feed = {given["name"]: column(given, schema["example"]["features"][given["name"]]) for given in schema["inputs"]}
(predicted,) = session.run([schema["output"]["name"]], feed)
ours = [name for name in sys.modules if name.split(".")[0] in ("pipelines", "monitoring", "model", "tests")]
print(json.dumps([predicted.tolist(), schema["example"]["prediction"], ours]))
"""


@pytest.fixture
def first(learned):
    return Variant(model=learned.models.versions()[1], version=1)


def test_onnxruntime_alone_predicts_what_is_written_down(learned, first, tmp_path):
    export(learned.models, first, tmp_path / "out")
    command = [sys.executable, "-I", "-c", ELSEWHERE]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    predicted, expected, ours = json.loads(done.stdout)
    assert predicted == pytest.approx([expected], abs=1e-6)
    assert ours == []


def test_the_folder_says_what_it_holds_and_where_it_comes_from(learned, first, tmp_path):
    export(learned.models, first, tmp_path / "out")
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"model.onnx", "schema.json", "card.md"}
    schema = json.loads(files["schema.json"])
    assert schema["sha256"] == {name: hashlib.sha256(files[name]).hexdigest() for name in ("model.onnx", "card.md")}
    assert (schema["model"], schema["version"]) == (first.model, 1)
    assert schema["feature_versions"]["views"] == {view.name: view.version for view in learned.problem.views}
    missing = {given["name"]: given["missing"] for given in schema["inputs"]}
    assert (missing["depot"], missing["queue_now"]) == ("", "NaN")
    assert files["card.md"].decode() == learned.models.attached(first.model, CARD)


def test_a_model_that_was_tampered_with_is_not_exported(learned, first, tmp_path):
    path = learned.home / "store/models" / first.model / "model.onnx"
    sound = path.read_bytes()
    try:
        path.write_bytes(sound + b"\0")
        with pytest.raises(UserError, match="was tampered with"):
            export(learned.models, first, tmp_path / "out")
    finally:
        path.write_bytes(sound)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_predict_its_example_is_not_exported(learned, first, tmp_path):
    models = learned.models
    manifest = models.manifest(first.model)
    wrong = manifest.model_copy(update={"example": manifest.example.model_copy(update={"prediction": 0.123})})
    digest, version = models.put(wrong, {name: models.file(first.model, name) for name in manifest.files})
    with pytest.raises(UserError, match="cannot be trusted"):
        export(models, Variant(model=digest, version=version), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(learned, first, tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(UserError, match="holds something already"):
        export(learned.models, first, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]
