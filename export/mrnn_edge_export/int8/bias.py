"""Biases that make up for rounded weights, on the mean of what goes in.

A rounded weight is wrong by a constant, and what it multiplies, cut to [0, 6], has a mean well
above zero: so most of a layer's error is one number a channel, the same for every picture, and the
bias can take it (Nagel et al. 2019, arXiv 1906.04721, section 4.2). Takes a float graph and what is
to run through it, gives the float graph other biases.
"""

import copy
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import onnx
from onnxruntime import InferenceSession

from mrnn_edge.arrays import Floats
from mrnn_edge_export.int8.qdq import Feeds, rounded


def correct_biases(
    graph: onnx.ModelProto, means: Mapping[str, Floats], *, nodes: Collection[str]
) -> None:
    """Change the biases of these convolutions so that they fit weights of int8."""
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
