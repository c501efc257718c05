"""Checks the bytes of a graph before ONNX Runtime reads them: nodes, external data, subgraphs.

Takes the bytes of an ONNX model and parses its protobuf in plain Python, because the library does
not depend on onnx. Field numbers are those of onnx.proto3. Knows no model.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

_Field: TypeAlias = tuple[int, int | memoryview]

_KEYS: Final = 1 << 32
"""Number and kind of a field are one number of 32 bits."""
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FLATBUFFER: Final = b"ORTM"
"""At bytes 4 to 8. Such a file may be a valid protobuf too, but ONNX Runtime reads it otherwise."""
_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 20, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_INPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS = 5, 10
_ATTRIBUTE_GRAPHS: Final = frozenset((6, 11))
_ATTRIBUTE_SPARSE: Final = frozenset((22, 23))
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_DOMAINS: Final = frozenset((b"", b"ai.onnx", b"com.microsoft"))
_VARIADIC: Final = frozenset((b"Sum", b"Max", b"Min", b"Mean", b"Concat", b"Einsum"))
"""Operators without optional inputs. ONNX Runtime does not check all of them and reads from address
0 where one is missing (found by fuzzing)."""


def graph_faults(model: bytes) -> Iterator[str]:
    """The reasons to refuse a graph; none for graphs exported by this project.

    Raises ValueError if the bytes are not a protobuf.
    """
    if model[4:8] == _FLATBUFFER:
        yield "it is in the format of ONNX Runtime's own"
    for number, value in _fields(memoryview(model)):
        if number == _MODEL_FUNCTIONS:
            yield "it defines functions of its own"
        elif number == _MODEL_TRAINING:
            yield "it has graphs for training"
        elif number == _MODEL_GRAPH:
            yield from _faults(_message(value))


def _faults(graph: memoryview) -> Iterator[str]:
    for number, value in _fields(graph):
        if number == _GRAPH_NODE:
            yield from _node_faults(_message(value))
        elif number == _GRAPH_INITIALIZER:
            yield from _tensor_faults(_message(value))
        elif number == _GRAPH_SPARSE:
            yield "it has sparse weights"


def _node_faults(node: memoryview) -> Iterator[str]:
    operator, inputs = b"", []
    for number, value in _fields(node):
        if number == _NODE_OP_TYPE:
            operator = bytes(_message(value))
        elif number == _NODE_INPUT:
            inputs.append(bytes(_message(value)))
        elif number == _NODE_DOMAIN and bytes(_message(value)) not in _DOMAINS:
            yield "it has operators of another domain"
        elif number == _NODE_ATTRIBUTE:
            for part, content in _fields(_message(value)):
                if part in _ATTRIBUTE_GRAPHS:
                    # Loop, If and Scan: a loop need not end.
                    yield "it has graphs within the graph"
                elif part in _ATTRIBUTE_SPARSE:
                    yield "it has sparse weights"
                elif part in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                    yield from _tensor_faults(_message(content))
    if inputs and (inputs[0] == b"" or (operator in _VARIADIC and b"" in inputs)):
        yield f"an operator {operator.decode()} lacks an input"


def _tensor_faults(tensor: memoryview) -> Iterator[str]:
    for number, value in _fields(tensor):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
            yield "it keeps weights outside its file"


def _message(value: int | memoryview) -> memoryview:
    """The value of a field that holds a message. Raises ValueError for a number."""
    if isinstance(value, int):
        raise ValueError("a number in the place of a message")
    return value


def _fields(data: memoryview) -> Iterator[_Field]:
    """Number and value of each field: an integer or bytes.

    Raises ValueError if the bytes are not a protobuf.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind, number = key & 7, key >> 3
        # ONNX Runtime's protobuf drops the bits above and would read another field.
        if key >= _KEYS or number == 0:
            raise ValueError(f"a field of number {number}")
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _LENGTH:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + length > len(data):
            raise ValueError("cut off")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")
