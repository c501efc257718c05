"""Quantise a float graph to 8-bit integers: QuantizeLinear, DequantizeLinear around its layers.

Takes a graph and inputs for it, gives a graph of plain ONNX operators. ONNX Runtime's converter
(onnxruntime.quantization, not needed to run the result) finds the ranges and rewrites the graph;
the scales of weights are ours. Knows neither encoder nor step.
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
"""The quantised operators. A Clip is removed if the next tensor's range replaces it."""
_LAYERS: Final = ("Conv", "Gemm")
LARGEST: Final = 127
"""The largest int8; -128 is unused, so that ranges are symmetric."""
_NARROW: Final = 63
"""Weights of 7 bits: any two of them, times any two uint8, add up within 16 bits."""


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    """The converter's iterator over feeds."""

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
    """The graph with these nodes quantised: activations uint8, weights int8 by output channel.

    `fixed` gives tensors with known scale and zero point. The last layer's output stays float.
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
        reduce_range=False,  # weight_scales does it with a smaller error
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
    """Keep these layers in float by a node between their outputs and the quantisation after them.

    If a layer has 8-bit input and output, with at most a Clip between, ONNX Runtime (1.32.0) also
    rounds float weights, to one scale for all channels (weight_bias_quantization.cc): in the
    shipped encoder one depthwise layer left in float made the error 2.5 times as large. A maximum
    with the least float changes no number and prevents that; it also prevents the fusion of the
    layer with its Clip.
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
    """Scales float32 [C] of a layer's weights [C, ...] with the same int8 * uint8 sums anywhere.

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
        # Rounding adds up to 1/2 to each of the two, so 127 here means 128 there.
        scales = np.maximum.reduce([largest, up, down]) / LARGEST
    else:
        scales = largest / _NARROW
    # Channels of zeros need a scale too: any.
    return np.where(scales > 0, scales, 1.0 / LARGEST).astype(np.float32)


def rounded(weight: Floats) -> Floats:
    """Weights float32 [C, ...] after rounding to int8."""
    scales = weight_scales(weight).reshape(-1, *(1,) * (weight.ndim - 1))
    held: Floats = (np.rint(weight / scales) * scales).astype(np.float32)
    return held


def name_nodes(graph: onnx.ModelProto) -> None:
    """Give every node a unique name, as the converter needs it."""
    for number, node in enumerate(graph.graph.node):
        node.name = f"{node.op_type}_{number}"


def drop_unused(graph: onnx.ModelProto) -> None:
    """Remove unused constants."""
    used = {name for node in graph.graph.node for name in node.input}
    kept = [entry for entry in graph.graph.initializer if entry.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)


def finish(graph: onnx.ModelProto, metadata: Mapping[str, str]) -> bytes:
    """The bytes of a graph with these properties only, checked."""
    del graph.graph.value_info[:]
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, dict(metadata))
    onnx.checker.check_model(graph, full_check=True)
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def parse(data: bytes, role: GraphRole) -> onnx.ModelProto:
    """Parse the graph of a bundle. Raises ModelError if it is quantised."""
    graph = onnx.load_model_from_string(data)
    if any(node.op_type == "QuantizeLinear" for node in graph.graph.node):
        raise ModelError(f"the {role} graph is already quantised; export the model again")
    return graph


def _check_layer(node: onnx.NodeProto) -> None:
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Gemm" and attributes.get("transB") != 1:
        raise ModelError(f"the layer {node.name} has transposed weights; export the model again")
