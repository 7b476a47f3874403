"""Faults that the demo plants on purpose, to show what stops them."""

import hashlib

import onnx
from onnx import TensorProto, helper

from monitoring.drift import Reference
from pipelines.config import Example, Manifest
from pipelines.feature.request import as_input
from pipelines.registry.model_store import ONNX, REFERENCE, ModelStore
from pipelines.registry.scoring import Scorer


def plant_failing_model(models: ModelStore, champion_model: str, feature: str) -> tuple[str, int, float]:
    """Register a copy of the champion that fails where a numeric feature is in the top tenth of its training values.

    No gate judged it: its manifest has none. Returns its digest, its version and the value above which it fails.
    """
    manifest = models.manifest(champion_model)
    shape = Reference.from_json(models.file(champion_model, REFERENCE)).features[feature]
    low, high = shape.edge(0.1), shape.edge(0.9)
    files = {name: models.file(champion_model, name) for name in manifest.files}
    files[ONNX] = failing(files[ONNX], feature, above=high)
    planted = manifest.model_copy(
        update={
            "reason": "planted: a hotfix that nobody tested",
            "gates": (),
            "example": _example(manifest, models.onnx(champion_model), feature, low),
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
    )
    digest, version = models.put(planted, files)
    return digest, version, high


def failing(model: bytes, feature: str, above: float) -> bytes:
    """Return an ONNX model that predicts as before, but fails on rows where a numeric feature exceeds a value.

    There it looks up element 1 of a list of one, like code that was never tried on such a day.
    """
    graph = (loaded := onnx.load_from_string(model)).graph
    for node in graph.node:
        node.output[:] = ["sound" if name == "prediction" else name for name in node.output]
    graph.initializer.extend(
        [
            helper.make_tensor("limit", TensorProto.FLOAT, [1, 1], [above]),
            helper.make_tensor("one_element", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("per_row", TensorProto.INT64, [1], [-1]),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("Greater", [feature, "limit"], ["exceeds"]),
            helper.make_node("Cast", ["exceeds"], ["element"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["element", "per_row"], ["elements"]),
            helper.make_node("Gather", ["one_element", "elements"], ["zeros"]),
            helper.make_node("Add", ["sound", "zeros"], ["prediction"]),
        ]
    )
    return bytes(loaded.SerializeToString())


def _example(manifest: Manifest, model: bytes, feature: str, value: float) -> Example:
    """Return the manifest's example, moved to where the planted model works, so that its warm-up passes."""
    values = {**manifest.example.features, feature: value}
    row = {name: as_input([values[name]], kind) for name, kind in manifest.features.items()}
    return Example(features=values, prediction=float(Scorer(model, manifest.features)(row)[0]))
