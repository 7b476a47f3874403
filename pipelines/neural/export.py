"""A trained network as one ONNX graph, operation by operation as ``network.py`` computes it.

Written out rather than traced, because text enters the graph, which torch cannot export, and so that equal weights
give equal bytes. The parity test and the gate check that both predict the same.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipelines.config import Task
from pipelines.neural.encode import Encoding
from pipelines.neural.network import LIMIT, TabularNetwork

_OPSETS = (("", 18), ("ai.onnx.ml", 3))
_IR_VERSION = 9

Weights = dict[str, npt.NDArray[Any]]


def network_to_onnx(network: TabularNetwork, encoding: Encoding, task: Task, scale: float, shift: float) -> bytes:
    """Return the graph: each feature an input [rows, 1], one output ``prediction`` [rows].

    The mean logit times ``scale`` plus ``shift`` is the quantity, or the logit of the probability.
    """
    graph, settings = _Graph(), network.settings
    weights: Weights = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    x = graph.add("Unsqueeze", _inputs(graph, encoding, weights), graph.constant(np.array([1])))
    if settings.members > 1:
        x = graph.add("Mul", x, graph.constant(weights["adapters_KF"]))
    x = _linear(graph, x, weights, "first")
    for number in range(settings.blocks):
        y = _linear(graph, _norm(graph, x, weights, f"blocks.{number}.norm"), weights, f"blocks.{number}.inner")
        y = graph.add("Mul", y, graph.add("Sigmoid", y))
        x = graph.add("Add", x, _linear(graph, y, weights, f"blocks.{number}.outer"))
    x = graph.add("Mul", _norm(graph, x, weights, "norm"), graph.constant(weights["head_KW"]))
    x = graph.add("ReduceSum", x, graph.constant(np.array([-1])), keepdims=0)
    x = graph.add("Add", x, graph.constant(weights["bias_K"]))
    x = graph.add("ReduceMean", x, graph.constant(np.array([-1])), keepdims=0)
    x = graph.add("Add", graph.add("Mul", x, graph.number(scale)), graph.number(shift))
    graph.add("Sigmoid" if task is Task.BINARY else "Identity", x, output="prediction")
    return graph.model(encoding)


def _inputs(graph: "_Graph", encoding: Encoding, weights: Weights) -> str:
    """Add every embedded column, as ``TabularNetwork.inputs`` does."""
    parts = []
    if encoding.numeric:
        numbers = graph.add("Concat", *encoding.numeric, axis=1)
        center = graph.constant(weights["center_N"])
        missing = graph.add("IsNaN", numbers)
        filled = graph.add("Where", missing, center, numbers)
        scaled = graph.add("Div", graph.add("Sub", filled, center), graph.constant(weights["scale_N"]))
        scaled = graph.add("Clip", scaled, graph.number(-100), graph.number(100))
        ratio = graph.add("Div", scaled, graph.number(LIMIT))
        root = graph.add("Sqrt", graph.add("Add", graph.number(1), graph.add("Mul", ratio, ratio)))
        scaled = graph.add("Div", scaled, root)
        parts = [scaled, graph.add("Cast", missing, to=TensorProto.FLOAT)]
        parts.append(graph.add("Flatten", _expanded(graph, filled, scaled, weights), axis=1))
    for number, (name, vocabulary) in enumerate(zip(encoding.texts, encoding.vocabularies, strict=True)):
        codes = graph.lookup(name, vocabulary)
        row = graph.add("Gather", graph.constant(weights[f"embeddings.{number}.weight"]), codes)
        parts.append(graph.add("Flatten", row, axis=1))
    return graph.add("Concat", *parts, axis=1)


def _expanded(graph: "_Graph", filled: str, scaled: str, weights: Weights) -> str:
    last = graph.constant(np.array([-1]))
    if "frequencies_NT" in weights:
        angles = graph.constant(np.float32(2 * math.pi) * weights["frequencies_NT"])
        angles = graph.add("Mul", angles, graph.add("Unsqueeze", scaled, last))
        return graph.add("Concat", graph.add("Cos", angles), graph.add("Sin", angles), axis=2)
    distance = graph.add("Sub", graph.add("Unsqueeze", filled, last), graph.constant(weights["left_NT"]))
    passed = graph.add("Mul", distance, graph.constant(weights["per_width_NT"]))
    return graph.add("Clip", passed, graph.number(0), graph.number(1))


def _linear(graph: "_Graph", x: str, weights: Weights, name: str) -> str:
    product = graph.add("MatMul", x, graph.constant(np.ascontiguousarray(weights[f"{name}.weight"].T)))
    return graph.add("Add", product, graph.constant(weights[f"{name}.bias"]))


def _norm(graph: "_Graph", x: str, weights: Weights, name: str) -> str:
    weight, bias = (graph.constant(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    return graph.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=1e-5)


class _Graph:
    """Nodes and constants in the order they were added, named by number so that equal graphs have equal bytes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def lookup(self, name: str, vocabulary: tuple[str, ...]) -> str:
        """Add the code of a text: its position in the vocabulary, from 1, or 0."""
        output = f"value_{len(self.nodes)}"
        keys = vocabulary or ("",)  # the operator wants a key; one that maps to "unknown" changes nothing
        values = [number + 1 for number in range(len(vocabulary))] or [0]
        node = helper.make_node(
            "LabelEncoder",
            [name],
            [output],
            domain="ai.onnx.ml",
            keys_strings=list(keys),
            values_int64s=values,
            default_int64=0,
        )
        self.nodes.append(node)
        return output

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def constant(self, array: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def model(self, encoding: Encoding) -> bytes:
        kinds = dict.fromkeys(encoding.numeric, TensorProto.FLOAT)
        kinds |= dict.fromkeys(encoding.texts, TensorProto.STRING)
        inputs = [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in kinds.items()]
        outputs = [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None])]
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
