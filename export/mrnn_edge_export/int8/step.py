"""The step in 8-bit integers: lookup tables of int8 rows, matrices of int8, the state float.

The scales of activations are fixed at calibration, not taken from the batch as they run (dynamic
quantisation), so that a row's answer does not depend on its neighbours. Takes the bytes of
step.onnx as export writes them and rows to calibrate on, gives the bytes of step.int8.onnx.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import onnx

from mrnn_edge.arrays import Floats, Ids
from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.decode.hypotheses import SearchSpace, StepFunction
from mrnn_edge.errors import ModelError
from mrnn_edge_export.int8.qdq import (
    LARGEST,
    Feeds,
    drop_unused,
    finish,
    insert_qdq,
    name_nodes,
    parse,
    tensor_ranges,
)

_TABLES: Final = 2
"""Tables of words: for the state, and for the multimodal layer."""


def quantize_step(data: bytes, feeds: Iterable[Feeds], metadata: Mapping[str, str]) -> bytes:
    """The bytes of the int8 graph.

    Raises ModelError if the graph is quantised or differs from those of `mrnn-edge export`.
    """
    model = parse(data, GraphRole.STEP)
    _quantize_tables(model)
    _set_matrices_apart(model)
    name_nodes(model)
    matrices = [node.name for node in model.graph.node if node.op_type == "Gemm"]
    ranges = tensor_ranges(model, feeds)
    return finish(insert_qdq(model, ranges, nodes=matrices, fixed={}), metadata)


def sentence_feeds(
    step: StepFunction, images: Floats, sentences: Sequence[Sequence[int]], space: SearchSpace
) -> Iterator[Feeds]:
    """The step's inputs while it reads these sentences: a batch for each word, from the start sign.

    `images`, float32 [N, M], are the sentences' pictures. A finished sentence has no more rows.
    """
    state = np.zeros((len(images), space.state), np.float32)
    token: Ids = np.full(len(images), space.start, np.int64)
    for position in range(max(map(len, sentences)) + 1):
        rows = [row for row, sentence in enumerate(sentences) if len(sentence) >= position]
        yield {"token": token[rows], "state": state[rows], "image": images[rows]}
        _, state[rows] = step(token[rows], state[rows], images[rows])
        for row in rows:
            if position < len(sentences[row]):
                token[row] = sentences[row][position]


def _quantize_tables(model: onnx.ModelProto) -> None:
    """Tables of int8 with a scale for each column, converted to float after the lookup.

    The exporter writes a lookup as Gather, or as GatherND of the unsqueezed tokens. Raises
    ModelError unless both tables are found: a float table makes the graph three times as large.
    """
    graph = model.graph
    constants = {entry.name: entry for entry in graph.initializer}
    token = graph.input[0].name
    apart = [node for node in graph.node if node.op_type == "Unsqueeze" and node.input[0] == token]
    ids = {token, *(node.output[0] for node in apart)}
    nodes, tables = [], 0
    for node in graph.node:
        lookup = node.op_type in ("Gather", "GatherND") and node.input[1] in ids
        if lookup and node.input[0] in constants:
            nodes += _lookup(graph, constants[node.input[0]], node.output[0])
            tables += 1
        elif node not in apart:
            nodes.append(node)
    if tables != _TABLES:
        raise ModelError(
            f"the step graph looks a word up in {tables} tables, expected {_TABLES}; "
            "export the model again"
        )
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    drop_unused(model)


def _lookup(graph: onnx.GraphProto, table: onnx.TensorProto, output: str) -> list[onnx.NodeProto]:
    values = onnx.numpy_helper.to_array(table)
    largest = np.abs(values).max(axis=0)
    scales = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
    rows, scale, zero = (f"{table.name}_{part}" for part in ("int8", "scale", "zero_point"))
    graph.initializer.remove(table)
    graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(np.rint(values / scales).astype(np.int8), rows),
            onnx.numpy_helper.from_array(scales, scale),
            onnx.numpy_helper.from_array(np.zeros(len(scales), np.int8), zero),
        ]
    )
    looked_up = f"{output}_int8"
    return [
        onnx.helper.make_node("Gather", [rows, graph.input[0].name], [looked_up], axis=0),
        onnx.helper.make_node("DequantizeLinear", [looked_up, scale, zero], [output], axis=1),
    ]


def _set_matrices_apart(model: onnx.ModelProto) -> None:
    """Give each matrix its own input, so that other readers of the tensor still read floats."""
    graph = model.graph
    nodes = []
    for node in graph.node:
        if node.op_type == "Gemm":
            own = f"{node.output[0]}_input"
            nodes.append(onnx.helper.make_node("Identity", [node.input[0]], [own]))
            node.input[0] = own
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
