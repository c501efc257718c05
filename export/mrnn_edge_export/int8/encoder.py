"""The encoder in 8-bit integers: the pixels are its first quantised tensor.

(x - 127) / 128 is a uint8 tensor with scale 1/128 and zero point 127, so the float graph's
normalisation goes, and the first convolution reads the pixels. Takes the bytes of encoder.onnx as
export writes them and pictures, gives the bytes of encoder.int8.onnx. Knows no sentence.
"""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.errors import ModelError
from mrnn_edge.image.read import Pixels
from mrnn_edge_export.int8.bias import channel_means, correct_biases
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
    tensor_ranges,
)

_SCALE, _ZERO = 1.0 / 128.0, 127
_FRONT = ["Transpose", "Cast", "Sub", "Mul"]
"""What stands before the first convolution in a float graph."""


@dataclass(frozen=True, kw_only=True)
class CalibratedEncoder:
    """The float graph without its normalisation, and the ranges of its tensors."""

    pixels: onnx.ValueInfoProto
    graph: onnx.ModelProto
    """It takes what the first convolution took, float32 [B, 3, H, W]."""
    ranges: Ranges
    means: Mapping[str, Floats]
    """The mean [C] of what each convolution takes, by its name."""
    metadata: Mapping[str, str]

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers with weights, first to last."""
        return tuple(
            node.name for node in self.graph.graph.node if node.op_type in ("Conv", "Gemm")
        )

    def quantize(self, *, float_layers: Collection[str] = ()) -> bytes:
        """The bytes of the int8 graph, some layers left as they were."""
        graph = self.graph.graph
        left = {*float_layers}
        # With a layer goes what bounds its answer; otherwise its range would be the unbounded one.
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

    Raises ModelError for a graph that is not as export writes it.
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
    """Let the graph begin at its first convolution; returns the name of what that takes."""
    graph = model.graph
    found = [node.op_type for node in graph.node[: len(_FRONT) + 1]]
    if found != [*_FRONT, "Conv"]:
        raise ModelError(
            f"the encoder begins with {', '.join(found)}, expected {', '.join(_FRONT)}, Conv; "
            "export the model anew"
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
    """Put the pixels, their channels first, in the place of the quantised start."""
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
