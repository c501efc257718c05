"""Greedy decoding as a graph of its own: an ONNX Loop whose body is a step graph.

Takes the bytes of a step graph that wire.py has checked, and the search space; gives the bytes of
a model that says a whole sentence in one run. The step's nodes and weights are copied as they
stand, whatever they are, float or int8: the nodes into the loop, the weights beside it, where ONNX
Runtime keeps no second copy of them. What the loop adds is written here in the wire format of
protobuf, onnx being no part of the run time. Field numbers are those of onnx.proto3. Knows no
runtime and no words.

The model, for `rows` image vectors of which the first chooses the words of all:

    limit int64 [], image float [rows, M] -> tokens int64 [n], log_probs float [n, rows],
                                             sums float [n], states float [n, rows, R]

n is the number of steps: up to the end sign, which is the last of `tokens` then, or `limit` of
them. `log_probs` are those of the tokens. A token that is banned, or as unlikely as minus infinity,
says that no word had a chance. `sums` are over the first row's log-probabilities in each step: NaN
or plus infinity where one of them was. `states` are those that were fed.
"""

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.beams import SearchSpace
from mrnn_edge.greedy import LIMIT, OUTPUTS
from mrnn_edge.wire import fields, message

Parts: TypeAlias = list[bytes | memoryview]
"""A message in pieces: the weights are copied once, when all of it is put together."""

_PREFIX: Final = b"greedy/"
"""Of every name that is not the step's."""
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET = 1, 7, 8
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TYPE = 1, 3, 6, 20
_INT, _GRAPH = 2, 5
"""Kinds of attributes."""
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TYPE_ELEMENT, _TYPE_SHAPE = 1, 1, 2
_SHAPE_DIM, _DIM_VALUE, _DIM_NAME = 1, 1, 2
_FLOAT, _INT64, _BOOL = 1, 7, 9
_ELEMENTS: Final = {"float32": _FLOAT, "int64": _INT64, "bool": _BOOL}


def greedy_graph(step: bytes, space: SearchSpace, *, vocabulary: int, rows: int) -> bytes:
    """The model, of the step's own opset and IR version. `vocabulary` is how many words it has.

    Raises ValueError where a name of the step begins as those that are added here.
    """
    if _PREFIX in step:
        raise ValueError(f"the step graph has names that begin with {_PREFIX.decode()}")
    model = memoryview(step)
    graph = [message(value) for number, value in fields(model) if number == _MODEL_GRAPH]
    token, state, image = _parts_of(graph, _GRAPH_INPUT)
    _, next_state = _parts_of(graph, _GRAPH_OUTPUT)
    mask = np.zeros(vocabulary, np.float32)
    mask[list(space.banned)] = -np.inf
    body = [
        *_copied(graph, _GRAPH_NODE),
        *_node("Gather", ["log_probs", "greedy/first"], ["greedy/row"], axis=0),
        *_node("Add", ["greedy/row", "greedy/mask"], ["greedy/allowed"]),
        *_node("ArgMax", ["greedy/allowed"], ["greedy/chosen"], axis=0, keepdims=0),
        *_node("Expand", ["greedy/chosen", "greedy/rows"], ["greedy/next_token"]),
        *_node("Gather", ["log_probs", "greedy/chosen"], ["greedy/gained"], axis=1),
        *_node("ReduceSum", ["greedy/allowed"], ["greedy/sum"], keepdims=0),
        *_node("Equal", ["greedy/chosen", "greedy/end"], ["greedy/ends"]),
        *_node("Not", ["greedy/ends"], ["greedy/goes_on"]),
        *_node("Identity", ["state"], ["greedy/fed"]),
        *_text(_GRAPH_NAME, "body"),
        *_constant("greedy/mask", mask),
        *_constant("greedy/first", np.array(0)),
        *_constant("greedy/rows", np.array([rows])),
        *_constant("greedy/end", np.array(space.end)),
        *_value(_GRAPH_INPUT, "greedy/at", _INT64),
        *_value(_GRAPH_INPUT, "greedy/going", _BOOL),
        *_field(_GRAPH_INPUT, [token]),
        *_field(_GRAPH_INPUT, [state]),
        *_value(_GRAPH_OUTPUT, "greedy/goes_on", _BOOL),
        *_value(_GRAPH_OUTPUT, "greedy/next_token", _INT64, rows),
        *_field(_GRAPH_OUTPUT, [next_state]),
        *_value(_GRAPH_OUTPUT, "greedy/chosen", _INT64),
        *_value(_GRAPH_OUTPUT, "greedy/gained", _FLOAT, rows),
        *_value(_GRAPH_OUTPUT, "greedy/sum", _FLOAT),
        *_value(_GRAPH_OUTPUT, "greedy/fed", _FLOAT, rows, space.state),
    ]
    carried = ["greedy/last_token", "greedy/last_state"]
    start = ["greedy/start", "greedy/zeros"]
    tokens, log_probs, sums, states = OUTPUTS
    whole = [
        *_node("Loop", [LIMIT, "greedy/yes", *start], [*carried, *OUTPUTS], body=body),
        *_text(_GRAPH_NAME, "greedy"),
        *_copied(graph, _GRAPH_INITIALIZER),
        *_constant("greedy/yes", np.array(True)),
        *_constant("greedy/start", np.full(rows, space.start, np.int64)),
        *_constant("greedy/zeros", np.zeros((rows, space.state), np.float32)),
        *_value(_GRAPH_INPUT, LIMIT, _INT64),
        *_field(_GRAPH_INPUT, [image]),
        *_value(_GRAPH_OUTPUT, tokens, _INT64, "steps"),
        *_value(_GRAPH_OUTPUT, log_probs, _FLOAT, "steps", rows),
        *_value(_GRAPH_OUTPUT, sums, _FLOAT, "steps"),
        *_value(_GRAPH_OUTPUT, states, _FLOAT, "steps", rows, space.state),
    ]
    return b"".join(
        [
            *_copied([model], _MODEL_IR),
            *_field(_MODEL_GRAPH, whole),
            *_copied([model], _MODEL_OPSET),
        ]
    )


def _parts_of(messages: Sequence[memoryview], wanted: int) -> Iterator[memoryview]:
    """The contents of a repeated field; of a message that came in pieces, all of them."""
    for each in messages:
        yield from (message(value) for number, value in fields(each) if number == wanted)


def _copied(messages: Sequence[memoryview], wanted: int) -> Parts:
    """A field of a message with all its repetitions, each as it stands."""
    found: Parts = []
    for number, value in (field for each in messages for field in fields(each)):
        if number == wanted:
            found += _number(number, value) if isinstance(value, int) else _field(number, [value])
    return found


def _node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: "int | Parts"
) -> Parts:
    parts: Parts = []
    for name in inputs:
        parts += _text(_NODE_INPUT, name)
    for name in outputs:
        parts += _text(_NODE_OUTPUT, name)
    parts += _text(_NODE_OP_TYPE, operator)
    for name, value in attributes.items():
        if isinstance(value, int):
            content = [*_number(_ATTRIBUTE_INT, value), *_number(_ATTRIBUTE_TYPE, _INT)]
        else:
            content = [*_field(_ATTRIBUTE_GRAPH, value), *_number(_ATTRIBUTE_TYPE, _GRAPH)]
        parts += _field(_NODE_ATTRIBUTE, [*_text(_ATTRIBUTE_NAME, name), *content])
    return _field(_GRAPH_NODE, parts)


def _constant(name: str, array: NDArray[np.generic]) -> Parts:
    parts: Parts = []
    for size in array.shape:
        parts += _number(_TENSOR_DIMS, size)
    parts += _number(_TENSOR_TYPE, _ELEMENTS[array.dtype.name])
    parts += _text(_TENSOR_NAME, name)
    little = array.astype(array.dtype.newbyteorder("<"))
    return _field(_GRAPH_INITIALIZER, [*parts, *_field(_TENSOR_RAW, [little.tobytes()])])


def _value(place: int, name: str, element: int, *sizes: int | str) -> Parts:
    """An input or output of a graph; a size that is a name is not known before."""
    shape: Parts = []
    for size in sizes:
        dim = _text(_DIM_NAME, size) if isinstance(size, str) else _number(_DIM_VALUE, size)
        shape += _field(_SHAPE_DIM, dim)
    tensor = [*_number(_TYPE_ELEMENT, element), *_field(_TYPE_SHAPE, shape)]
    kind = _field(_VALUE_TYPE, _field(_TYPE_TENSOR, tensor))
    return _field(place, [*_text(_VALUE_NAME, name), *kind])


def _text(number: int, text: str) -> Parts:
    return _field(number, [text.encode()])


def _field(number: int, parts: Parts) -> Parts:
    return [_varint(number << 3 | 2) + _varint(sum(map(len, parts))), *parts]


def _number(number: int, value: int) -> Parts:
    return [_varint(number << 3) + _varint(value)]


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
