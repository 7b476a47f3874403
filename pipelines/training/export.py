"""Step 22: export a fitted estimator as one ONNX file that takes the raw feature row and names its inputs."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from pipelines.config import Estimator, FeatureType, Task

_OPSET = 18


def to_onnx(estimator: Estimator, features: Mapping[str, FeatureType], task: Task) -> bytes:
    """Return the estimator as ONNX in the form that :class:`pipelines.registry.scoring.Scorer` describes."""
    if hasattr(estimator, "to_onnx"):
        return estimator.to_onnx(features)  # type: ignore[no-any-return]
    from skl2onnx import to_onnx as convert
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    types = {FeatureType.NUMERIC: FloatTensorType, FeatureType.CATEGORICAL: StringTensorType}
    model = convert(
        _with_float32_thresholds(estimator),
        initial_types=[(name, types[kind]([None, 1])) for name, kind in features.items()],
        options={"zipmap": False} if task is Task.BINARY else None,
        target_opset={"": _OPSET, "ai.onnx.ml": 3},
    )
    return bytes(_with_one_output(model, task).SerializeToString())


def _with_float32_thresholds(estimator: Estimator) -> Estimator:
    """Return a copy whose histogram trees split at the largest float32 that is not above their own threshold.

    The graph compares float32. The converter rounds the float64 thresholds to the nearest, so a value just above one
    that was rounded up would take the other branch. Rounded down, every float32 takes the same branch.
    """
    copied = copy.deepcopy(estimator)
    trees: Any = copied
    while hasattr(trees, "steps"):
        trees = trees.steps[-1][1]
    for predictor in (tree for trees_of_step in getattr(trees, "_predictors", ()) for tree in trees_of_step):
        exact = predictor.nodes["num_threshold"]
        rounded = exact.astype(np.float32)
        below = np.nextafter(rounded, np.float32(-np.inf))
        predictor.nodes["num_threshold"] = np.where(rounded > exact, below, rounded)
    return copied


def _with_one_output(model: onnx.ModelProto, task: Task) -> onnx.ModelProto:
    """Replace the outputs by ``prediction`` of shape [rows]: for a classifier its second column of probabilities."""
    graph = model.graph
    source = graph.output[-1].name  # a classifier's outputs are label and probabilities
    if task is Task.BINARY:
        graph.initializer.append(helper.make_tensor("event_column", TensorProto.INT64, [], [1]))
        graph.node.append(helper.make_node("Gather", [source, "event_column"], ["prediction"], axis=1))
    else:
        graph.initializer.append(helper.make_tensor("flat", TensorProto.INT64, [1], [-1]))
        graph.node.append(helper.make_node("Reshape", [source, "flat"], ["prediction"]))
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)  # the converter's order follows a set
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None]))
    onnx.checker.check_model(model)
    return model
