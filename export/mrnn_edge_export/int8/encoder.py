"""The encoder in 8-bit integers, with the pixels as its first quantised tensor.

(x - 127) / 128 is a uint8 tensor with scale 1/128 and zero point 127, so the float graph's
normalisation is removed, and the first convolution reads the pixels. Takes the bytes of
encoder.onnx and pictures, gives the bytes of encoder.int8.onnx. Knows no sentences.
"""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnxruntime import InferenceSession

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import GraphRole, Precision
from mrnn_edge.bundle.folder import Bundle
from mrnn_edge.engine.runtime import open_graphs
from mrnn_edge.errors import ModelError
from mrnn_edge.image.read import Pixels
from mrnn_edge.timing import Track, untracked
from mrnn_edge_export.int8.qdq import (
    OPERATORS,
    Feeds,
    Ranges,
    drop_unused,
    finish,
    insert_qdq,
    keep_float,
    name_nodes,
    parse,
    rounded,
    tensor_ranges,
)

_SCALE, _ZERO = 1.0 / 128.0, 127
_FRONT = ["Transpose", "Cast", "Sub", "Mul"]
"""The operators before the first convolution of a float graph."""


@dataclass(frozen=True, kw_only=True)
class CalibratedEncoder:
    """The float graph without its normalisation, and the ranges of its tensors."""

    pixels: onnx.ValueInfoProto
    graph: onnx.ModelProto
    """Its input is that of the first convolution, float32 [B, 3, H, W]."""
    ranges: Ranges
    means: Mapping[str, Floats]
    """The mean [C] of each convolution's input, by the input's name."""
    metadata: Mapping[str, str]

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers with weights, first to last."""
        return tuple(
            node.name for node in self.graph.graph.node if node.op_type in ("Conv", "Gemm")
        )

    def quantize(self, *, float_layers: Collection[str] = ()) -> bytes:
        """The bytes of the int8 graph; `float_layers` stay float32."""
        graph = self.graph.graph
        left = {*float_layers}
        # A layer's Clip stays with it; otherwise the range would be the unbounded one.
        outputs = {node.output[0] for node in graph.node if node.name in left}
        left |= {
            node.name for node in graph.node if node.op_type == "Clip" and node.input[0] in outputs
        }
        nodes = [n.name for n in graph.node if n.op_type in OPERATORS and n.name not in left]
        corrected = copy.deepcopy(self.graph)
        correct_biases(corrected, self.means, nodes=nodes)
        start = graph.input[0].name
        quantized = insert_qdq(corrected, self.ranges, nodes=nodes, fixed={start: (_SCALE, _ZERO)})
        keep_float(quantized, float_layers)
        _read_pixels(quantized, start, self.pixels)
        return finish(quantized, self.metadata)


def calibrate_encoder(
    data: bytes, pixels: Sequence[Pixels], metadata: Mapping[str, str]
) -> CalibratedEncoder:
    """Read encoder.onnx, and its tensors' ranges over pictures, uint8 [H, W, 3] each.

    Raises ModelError if the graph differs from those of `mrnn-edge export`.
    """
    graph = parse(data, GraphRole.ENCODER)
    entry = copy.deepcopy(graph.graph.input[0])
    start = _drop_normalisation(graph)
    name_nodes(graph)
    return CalibratedEncoder(
        pixels=entry,
        graph=graph,
        ranges=tensor_ranges(graph, _feeds(pixels, start)),
        means=channel_means(graph, _feeds(pixels, start)),
        metadata=metadata,
    )


def _feeds(pixels: Iterable[Pixels], name: str) -> Iterator[Feeds]:
    for each in pixels:
        values = (each.astype(np.float32) - _ZERO) * np.float32(_SCALE)
        yield {name: np.ascontiguousarray(values.transpose(2, 0, 1)[None])}


def _drop_normalisation(model: onnx.ModelProto) -> str:
    """Start the graph at its first convolution; returns the name of its input."""
    graph = model.graph
    found = [node.op_type for node in graph.node[: len(_FRONT) + 1]]
    if found != [*_FRONT, "Conv"]:
        raise ModelError(
            f"the encoder begins with {', '.join(found)}, expected {', '.join(_FRONT)}, Conv; "
            "export the model again"
        )
    start: str = graph.node[len(_FRONT)].input[0]
    height, width = (graph.input[0].type.tensor_type.shape.dim[axis].dim_value for axis in (1, 2))
    del graph.node[: len(_FRONT)]
    drop_unused(model)
    del graph.input[:], graph.value_info[:]
    shape = ["batch", 3, height, width]
    graph.input.append(onnx.helper.make_tensor_value_info(start, onnx.TensorProto.FLOAT, shape))
    return start


def _read_pixels(model: onnx.ModelProto, start: str, pixels: onnx.ValueInfoProto) -> None:
    """Replace the quantised start by the pixels, channels first."""
    graph = model.graph
    first = [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == start]
    for node in first:
        graph.node.remove(node)
        first_tensor = node.output[0]
    if not first:  # the first layer was left in float
        first_tensor = f"{start}_uint8"
        constants = (("scale", np.float32(_SCALE)), ("zero_point", np.uint8(_ZERO)))
        names = [f"{start}_{part}" for part, _ in constants]
        for name, (_, value) in zip(names, constants, strict=True):
            graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
        node = onnx.helper.make_node("DequantizeLinear", [first_tensor, *names], [start])
        graph.node.insert(0, node)
    transpose = onnx.helper.make_node(
        "Transpose", [pixels.name], [first_tensor], name="channels_first", perm=[0, 3, 1, 2]
    )
    graph.node.insert(0, transpose)
    del graph.input[:]
    graph.input.append(pixels)


def correct_biases(
    graph: onnx.ModelProto, means: Mapping[str, Floats], *, nodes: Collection[str]
) -> None:
    """Change the biases of these convolutions to fit their rounded weights.

    A rounded weight is wrong by a constant, and what it multiplies, cut to [0, 6], has a mean well
    above zero. So most of a layer's error is one number a channel, the same for every picture, and
    the bias can absorb it (Nagel et al. 2019, arXiv 1906.04721, section 4.2).
    """
    constants = {entry.name: entry for entry in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type != "Conv" or node.name not in nodes:
            continue
        weight, bias = (onnx.numpy_helper.to_array(constants[name]) for name in node.input[1:3])
        error = (rounded(weight) - weight).sum(axis=(2, 3))
        mean = means[node.input[0]]
        # A depthwise layer [C, 1, ...] has a channel of its own for each row, others have all.
        shift = error[:, 0] * mean if error.shape[1] == 1 else error @ mean
        corrected = (bias - shift).astype(np.float32)
        constants[node.input[2]].CopyFrom(onnx.numpy_helper.from_array(corrected, node.input[2]))


def channel_means(graph: onnx.ModelProto, feeds: Iterable[Feeds]) -> Mapping[str, Floats]:
    """The mean [C] of each convolution's input over all feeds, by the input's name."""
    measured = copy.deepcopy(graph)
    inputs = dict.fromkeys(node.input[0] for node in graph.graph.node if node.op_type == "Conv")
    axes = onnx.numpy_helper.from_array(np.array([0, 2, 3], np.int64), "mean_axes")
    measured.graph.initializer.append(axes)
    for name in inputs:
        output = f"{name}_mean"
        node = onnx.helper.make_node("ReduceMean", [name, axes.name], [output], keepdims=0)
        measured.graph.node.append(node)
        info = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)
        measured.graph.output.append(info)
    session = InferenceSession(measured.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [f"{name}_mean" for name in inputs]
    found = [session.run(names, dict(each)) for each in feeds]
    return {
        name: np.mean([each[column] for each in found], axis=0)
        for column, name in enumerate(inputs)
    }


def worst_layers(
    encoder: CalibratedEncoder,
    pixels: Pixels,
    bundle: Bundle,
    *,
    track: Track = untracked,
) -> tuple[str, ...]:
    """The names of the layers that hurt most in 8 bits, the worst first.

    Each in turn is left in float, the others quantised; the measure is how near the image vectors
    of the pixels, uint8 [B, H, W, 3], come to the float graph's.
    """
    wanted = _encode(bundle, bundle.graph(Precision.FLOAT32, GraphRole.ENCODER), pixels)
    errors = {}
    for layer in track(encoder.layers, "layers", len(encoder.layers)):
        found = _encode(bundle, encoder.quantize(float_layers=[layer]), pixels)
        errors[layer] = float(np.linalg.norm(found - wanted))
    return tuple(sorted(errors, key=errors.__getitem__))


def _encode(bundle: Bundle, encoder: bytes, pixels: Pixels) -> Floats:
    graphs = {
        GraphRole.ENCODER: encoder,
        GraphRole.STEP: bundle.graph(Precision.FLOAT32, GraphRole.STEP),
    }
    opened = open_graphs(bundle.config, read=graphs.__getitem__, metadata=bundle.metadata)
    return opened.encoder(pixels)
