"""Exports a model to a folder that ONNX Runtime alone can score with, and that documents itself.

``model.onnx``; ``schema.json`` with its inputs, its output, an example and where it comes from; ``card.md`` for people.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipelines.config import FeatureType, Manifest, Task, UserError, Variant
from pipelines.registry.model_store import CARD, ONNX, ModelStore
from pipelines.registry.scoring import Scorer
from pipelines.serving.model import check_example

SCHEMA = "schema.json"
_INPUTS = {
    FeatureType.NUMERIC: {"type": "float32", "shape": ["rows", 1], "missing": "NaN"},
    FeatureType.CATEGORICAL: {"type": "string", "shape": ["rows", 1], "missing": ""},
}
_MEANING = {Task.BINARY: "the probability of the event", Task.REGRESSION: "the quantity"}


def export(models: ModelStore, variant: Variant, folder: Path) -> dict[str, Any]:
    """Write a model into a folder atomically, and return the content of ``schema.json``.

    Raises:
        UserError: when the folder holds something, or the stored model is not what its digest and its example say.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} holds something already; choose another --output")
    manifest = models.manifest(variant.model)
    files = {ONNX: models.onnx(variant.model), CARD: models.attached(variant.model, CARD).encode()}
    schema = _schema(manifest, variant, files)
    files[SCHEMA] = json.dumps(schema, indent=2).encode() + b"\n"
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".export-"))
    try:
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        temporary.chmod(0o755)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return schema


def _schema(manifest: Manifest, variant: Variant, files: dict[str, bytes]) -> dict[str, Any]:
    score = Scorer(files[ONNX], manifest.features)
    check_example(score, manifest, variant.version)
    return {
        "schema_version": 1,
        "problem": manifest.problem,
        "model": variant.model,
        "version": variant.version,
        "created": manifest.created.isoformat(),
        "inputs": [{"name": name, **_INPUTS[manifest.features[name]]} for name in score.inputs],
        "output": {"name": "prediction", "type": "float32", "shape": ["rows"], "meaning": _MEANING[manifest.task]},
        "example": {
            "features": {
                name: manifest.example.features[name] for name in score.inputs
            },  # null where a value is missing
            "prediction": manifest.example.prediction,
        },
        "feature_versions": manifest.feature_versions.model_dump(),
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
