"""The bytes of the greedy loop: valid ONNX, the step in it as it stands."""

import numpy as np
import onnx
import pytest
import tiny

from mrnn_edge import Captioner
from mrnn_edge.beams import SearchSpace
from mrnn_edge.bundle import load_bundle
from mrnn_edge.config import GraphRole, Precision
from mrnn_edge.greedy_graph import greedy_graph

WORDS = len(tiny.vocabulary())
PICTURE = np.full((tiny.SIDE, tiny.SIDE, 3), (200, 40, 90), np.uint8)


def step_of(network: tiny.TinyNetwork) -> bytes:
    return tiny.step_graph(network, tiny.metadata(GraphRole.STEP))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("graph", ["tiny", *Precision])
def test_what_is_written_is_onnx_and_holds_the_step_as_it_stands(graph, rows):
    if graph == "tiny":
        step, state, words = step_of(tiny.TinyNetwork()), tiny.STATE, WORDS
    else:
        bundle = load_bundle(None)
        step = bundle.graph(graph, GraphRole.STEP)
        state, words = bundle.config.sizes.state, bundle.config.sizes.vocabulary
    space = SearchSpace(start=0, end=1, banned=(0, 2), state=state)
    written = onnx.load_from_string(greedy_graph(step, space, vocabulary=words, rows=rows))
    onnx.checker.check_model(written, full_check=True)
    original = onnx.load_from_string(step)
    assert written.ir_version == original.ir_version
    assert written.opset_import == original.opset_import
    (loop,) = written.graph.node
    body = loop.attribute[0].g
    nodes, weights = original.graph.node, original.graph.initializer
    assert body.node[: len(nodes)] == nodes[:]
    # Outside the loop: what stands in the body stays in memory once more, as it is written.
    assert written.graph.initializer[: len(weights)] == weights[:]
    added = [name for node in body.node[len(nodes) :] for name in node.output]
    added += [each.name for each in body.initializer]
    added += [each.name for each in written.graph.initializer[len(weights) :]]
    assert all(name.startswith("greedy/") for name in added)
    assert len(set(added)) == len(added)


def test_a_step_graph_in_two_pieces_is_put_together():
    # Two fields of one message are merged by protobuf; wire.py looks at both, and so does this.
    whole = onnx.load_from_string(step_of(tiny.TinyNetwork()))
    first, second = onnx.ModelProto(), onnx.ModelProto()
    first.CopyFrom(whole)
    del first.graph.node[6:]
    del first.graph.output[:]
    second.graph.node.extend(whole.graph.node[6:])
    second.graph.output.extend(whole.graph.output)
    pieces = first.SerializeToString() + second.SerializeToString()
    space = SearchSpace(start=0, end=1, banned=(0, 2), state=tiny.STATE)
    found, expected = (
        onnx.load_from_string(greedy_graph(step, space, vocabulary=WORDS, rows=1))
        for step in (pieces, whole.SerializeToString())
    )
    assert found.graph == expected.graph


def test_a_step_that_has_our_names_is_left_to_the_loop(captioner, tmp_path):
    step = step_of(tiny.TinyNetwork()).replace(b"\x06hidden", b"\x06greedy")
    assert b"\x06greedy" in step
    assert greedy_graph(step, captioner.space, vocabulary=WORDS, rows=1)
    clashing = onnx.load_from_string(step)
    for node in clashing.graph.node:
        for names in (node.input, node.output):
            names[:] = ["greedy/best" if name == "greedy" else name for name in names]
    step = clashing.SerializeToString()
    with pytest.raises(ValueError, match="names that begin with greedy/"):
        greedy_graph(step, captioner.space, vocabulary=WORDS, rows=1)
    other = Captioner.load(tiny.write(tmp_path, tiny.files(step=step)), device="cpu")
    assert not other.captions.greedy.ready()
    expected = captioner.caption(PICTURE, beam=1)
    assert other.caption(PICTURE, beam=1).text == expected.text
