import onnx
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mrnn_edge.bundle.config import GraphRole, Precision
from mrnn_edge.bundle.folder import load_bundle, shipped_models
from mrnn_edge.bundle.graph_bytes import graph_faults
from mrnn_edge.errors import BundleError


def faults_after(change) -> list[str]:
    model = onnx.load_from_string(tiny.files()["step.onnx"])
    change(model)
    return list(graph_faults(model.SerializeToString()))


def test_graphs_as_exported_have_no_fault():
    assert faults_after(lambda model: None) == []
    for name in shipped_models():
        bundle = load_bundle(name)
        for precision in bundle.config.precisions:
            for role in GraphRole:
                if role is not GraphRole.GRADIENT or bundle.config.gradient is not None:
                    assert bundle.graph(precision, role)


def test_an_operator_that_lacks_an_input_is_found():
    # onnxruntime 1.32 reads from address 0 when it runs a Sum without its second input.
    def leave_out(model):
        (node,) = (node for node in model.graph.node if node.op_type == "Sum")
        node.input[1] = ""

    assert faults_after(leave_out) == ["an operator Sum lacks an input"]


def test_an_optional_input_may_be_left_out():
    def clip(model):
        model.graph.node.append(helper.make_node("Clip", ["state", "", "top"], ["clipped"]))

    assert faults_after(clip) == []


def test_a_loop_is_found_as_a_graph_within_the_graph():
    def loop(model):
        body = helper.make_graph([], "body", [], [])
        model.graph.node.append(helper.make_node("Loop", ["n", "go"], ["out"], body=body))

    assert faults_after(loop) == ["it has graphs within the graph"]


def test_functions_foreign_operators_and_sparse_weights_are_found():
    def function(model):
        imports = [helper.make_opsetid("", 20)]
        model.functions.append(helper.make_function("own", "f", [], [], [], imports))

    def foreign(model):
        model.graph.node[0].domain = "org.example"

    def sparse(model):
        model.graph.sparse_initializer.append(onnx.SparseTensorProto(dims=[2]))

    assert faults_after(function) == ["it defines functions of its own"]
    assert faults_after(foreign) == ["it has operators of another domain"]
    assert faults_after(sparse) == ["it has sparse weights"]


def test_weights_outside_the_file_are_found_also_in_attributes():
    outside = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)

    def constant(model):
        model.graph.node.append(helper.make_node("Constant", [], ["c"], value=outside))

    def initializer(model):
        model.graph.initializer.append(outside)

    for change in (constant, initializer):
        assert faults_after(change) == ["it keeps weights outside its file"]


def test_a_word_that_only_looks_like_external_data_is_none():
    def rename(model):
        model.doc_string = "location"

    assert faults_after(rename) == []


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


@pytest.mark.parametrize("key", [(7 << 3 | 2) + (1 << 32), (7 << 3 | 2) + (1 << 63), 0, 2])
@pytest.mark.parametrize("where", ["model", "graph"])
def test_a_field_that_another_reader_takes_for_another_is_refused(key, where):
    # protobuf drops the bits above 32: a graph with a loop came in by the first of these keys.
    hidden = varint(key) + (varint(3) + b"abc" if key & 7 else b"\x01")
    data = hidden if where == "model" else varint(7 << 3 | 2) + varint(len(hidden)) + hidden
    with pytest.raises(ValueError, match="a field of number"):
        list(graph_faults(data))


def test_a_loop_behind_an_overlong_key_does_not_load(tmp_path):
    model = onnx.load_from_string(tiny.files()["step.onnx"])
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    key = varint((7 << 3 | 2) + (1 << 32))
    step = model.SerializeToString() + key + varint(len(graph)) + graph
    folder = tiny.write(tmp_path / "model", tiny.files(step=step))
    with pytest.raises(BundleError, match=r"step\.onnx is not an ONNX graph"):
        load_bundle(folder).graph(Precision.FLOAT32, GraphRole.STEP)


def test_a_graph_that_is_a_flatbuffer_of_onnx_runtime_as_well_is_found():
    # The mark is read as two fields that ModelProto does not know; the rest is a graph as exported.
    marked = b"\x08\x08\x0d\x00ORTM" + bytes(4) + tiny.files()["step.onnx"]
    assert onnx.load_from_string(marked).graph.node
    assert list(graph_faults(marked)) == ["it is in the format of ONNX Runtime's own"]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    try:
        assert all(isinstance(fault, str) for fault in graph_faults(data))
    except ValueError:
        return


@pytest.mark.parametrize("cut", [1, 10, 100, 1000])
def test_a_graph_that_is_cut_off_is_no_protobuf(cut):
    with pytest.raises(ValueError, match="cut off"):
        list(graph_faults(tiny.files()["step.onnx"][:-cut]))
