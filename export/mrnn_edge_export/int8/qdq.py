"""A float graph as one of 8-bit integers: QuantizeLinear, DequantizeLinear around its layers.

Takes a graph and what is to run through it, gives a graph of plain ONNX operators. The ranges and
the rewriting are ONNX Runtime's (onnxruntime.quantization, a converter: nothing of it is needed to
run the result); the weights' scales are ours. Knows neither encoder nor step.
"""

import copy
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QDQQuantizer,
    QuantType,
    TensorsData,
    create_calibrator,
)

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.errors import ModelError

Feeds: TypeAlias = Mapping[str, NDArray[Any]]
Ranges: TypeAlias = TensorsData

OPERATORS: Final = ("Conv", "Clip", "Add", "Gemm")
"""What is quantised. A Clip goes where the range of what follows does its work."""
_LAYERS: Final = ("Conv", "Gemm")
LARGEST: Final = 127
"""Of int8 without its -128: the ranges have 0 in the middle."""
_NARROW: Final = 63
"""Weights of 7 bits: any two of them, times any two uint8, add up within 16 bits."""


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    """The converter's way to ask for the next feeds."""

    def __init__(self, feeds: Iterable[Feeds]) -> None:
        self._feeds: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def tensor_ranges(graph: onnx.ModelProto, feeds: Iterable[Feeds]) -> Ranges:
    """Smallest and largest value of each tensor around a layer, over all the feeds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.onnx"
        onnx.save(graph, path)
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = create_calibrator(path, list(OPERATORS), augmented_model_path=augmented)
        calibrator.collect_data(_Feeds(feeds))
        return calibrator.compute_data()


def insert_qdq(
    graph: onnx.ModelProto,
    ranges: Ranges,
    *,
    nodes: Sequence[str],
    fixed: Mapping[str, tuple[float, int]],
) -> onnx.ModelProto:
    """The graph, these nodes of it quantised: activations uint8, weights int8 by output channel.

    `fixed` gives tensors whose scale and zero point are known beforehand. The last layer's answer
    stays float.
    """
    overrides: dict[str, list[dict[str, Any]]] = {
        name: [{"scale": np.array(scale, np.float32), "zero_point": np.array(zero, np.uint8)}]
        for name, (scale, zero) in fixed.items()
    }
    weights = {entry.name: entry for entry in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type in _LAYERS and node.name in nodes:
            _check_layer(node)
            weight = onnx.numpy_helper.to_array(weights[node.input[1]])
            overrides[node.input[1]] = [
                {
                    "axis": 0,
                    "quant_type": QuantType.QInt8,
                    "scale": np.array(scale, np.float32),
                    "zero_point": np.array(0, np.int8),
                }
                for scale in weight_scales(weight)
            ]
    quantizer = QDQQuantizer(
        copy.deepcopy(graph),
        per_channel=True,
        reduce_range=False,  # weight_scales sees to it, and loses less
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=list(nodes),
        nodes_to_exclude=[],
        op_types_to_quantize=list(OPERATORS),
        extra_options={
            "TensorQuantOverrides": overrides,
            "OpTypesToExcludeOutputQuantization": ["Gemm"],
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized


def keep_float(graph: onnx.ModelProto, layers: Collection[str]) -> None:
    """Put a step between these layers' answers and what rounds them, so that they stay in float.

    Where a layer takes and gives 8 bits, with a Clip between at most, ONNX Runtime (1.32.0) rounds
    float weights as well, to one scale for all channels (weight_bias_quantization.cc): of the
    shipped encoder's, one depthwise layer left in float made the error 2.5 times as large. It does
    not see through the maximum with the least float, which changes no number; nor does it make one
    operator of the layer and its Clip then.
    """
    least = onnx.numpy_helper.from_array(np.array(np.finfo(np.float32).min), "least_float")
    kept = [node for node in graph.graph.node if node.name in layers and node.op_type == "Conv"]
    if kept:
        graph.graph.initializer.append(least)
    for node in kept:
        answer, unbounded = node.output[0], f"{node.output[0]}_in_float"
        node.output[0] = unbounded
        bounded = onnx.helper.make_node("Max", [unbounded, least.name], [answer])
        graph.graph.node.insert(list(graph.graph.node).index(node) + 1, bounded)


def weight_scales(weight: Floats) -> Floats:
    """Scales [C] of a layer's weights [C, ...] that add up alike on every machine, int8 * uint8.

    x86 without VNNI multiplies neighbours in pairs and adds each pair in 16 bits (vpmaddubsw),
    which saturates: 255 * (a + b) must stay within 32,767, so weights a and b of a pair that have
    one sign add up to 128 at most. Where the layer is a plain product the pairs are known, inputs
    2i and 2i + 1, and seldom both large: the scales are a fifth wider than those of full 8 bits.
    A depthwise layer is multiplied in 16 bits and adds in 32, so it has all 8 bits; what is left,
    windows over several channels, has 7.
    """
    rows = np.abs(weight.reshape(len(weight), -1))
    largest = rows.max(axis=1)
    if weight.ndim == 4 and weight.shape[1] == 1:
        scales = largest / LARGEST
    elif weight.ndim == 2 or weight.shape[2:] == (1, 1):
        flat = weight.reshape(len(weight), -1)
        pairs = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2))).reshape(len(flat), -1, 2)
        up, down = (np.maximum(side, 0.0).sum(axis=2).max(axis=1) for side in (pairs, -pairs))
        # Rounding adds a half to each of the two, so 127 here is 128 there.
        scales = np.maximum.reduce([largest, up, down]) / LARGEST
    else:
        scales = largest / _NARROW
    # Channels of nothing but zeros need a scale all the same: any.
    return np.where(scales > 0, scales, 1.0 / LARGEST).astype(np.float32)


def rounded(weight: Floats) -> Floats:
    """Weights [C, ...] as int8 holds them."""
    scales = weight_scales(weight).reshape(-1, *(1,) * (weight.ndim - 1))
    held: Floats = (np.rint(weight / scales) * scales).astype(np.float32)
    return held


def name_nodes(graph: onnx.ModelProto) -> None:
    """Give every node a name of its own, which is how the converter tells them apart."""
    for number, node in enumerate(graph.graph.node):
        node.name = f"{node.op_type}_{number}"


def drop_unused(graph: onnx.ModelProto) -> None:
    """Let go the constants that no node takes any more."""
    used = {name for node in graph.graph.node for name in node.input}
    kept = [entry for entry in graph.graph.initializer if entry.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)


def finish(graph: onnx.ModelProto, metadata: Mapping[str, str]) -> bytes:
    """The bytes of a graph with these properties and no others, checked."""
    del graph.graph.value_info[:]
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, dict(metadata))
    onnx.checker.check_model(graph, full_check=True)
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def parse(data: bytes, role: GraphRole) -> onnx.ModelProto:
    """The graph of a bundle's bytes. Raises ModelError where it is quantised already."""
    graph = onnx.load_model_from_string(data)
    if any(node.op_type == "QuantizeLinear" for node in graph.graph.node):
        raise ModelError(f"the {role} graph is quantised already; export the model anew")
    return graph


def _check_layer(node: onnx.NodeProto) -> None:
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Gemm" and attributes.get("transB") != 1:
        raise ModelError(f"the layer {node.name} has its weights the other way; export anew")
