"""The gradient graph against central differences of a network in numpy, in float64."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from mrnn_edge.bundle.config import GraphRole
from mrnn_edge_export.gradient import export_gradient
from mrnn_edge_train.network.cells import Cell
from mrnn_edge_train.network.model import MRNN, ModelSizes

SIZES = ModelSizes(vocabulary=300, feature=9, embedding=20, state=24, multimodal=32)
METADATA = {"bundle_id": "0123456789abcdef", "graph": str(GraphRole.GRADIENT)}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    model = MRNN(SIZES).eval()
    with torch.no_grad():
        for weights in model.parameters():
            # What float16 holds exactly: what is left is the arithmetic, and the formula.
            weights.copy_(weights.half())
    return model


@pytest.fixture(scope="module")
def graph(model):
    return export_gradient(model, METADATA)


def numpy_step(model, token, state, image):
    """One time frame in float64, written down once more from the paper's equations."""
    w = {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}
    word = w["embedding_1.weight"][token] @ w["embedding_2.weight"].T + w["embedding_2.bias"]
    state = np.maximum(state @ w["recurrent.weight"].T + word, 0.0)
    summed = word @ w["word_to_multimodal.weight"].T + state @ w["state_to_multimodal.weight"].T
    hidden = 1.7159 * np.tanh(2.0 / 3.0 * (summed + image))
    logits = hidden @ w["softmax.weight"].T + w["softmax.bias"]
    top = logits.max(axis=1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True)), state


def test_the_gradient_is_that_of_central_differences(model, graph):
    session = onnxruntime.InferenceSession(graph)
    random = np.random.default_rng(1)
    rows = 5
    token, target = random.integers(0, SIZES.vocabulary, (2, rows))
    state = random.random((rows, SIZES.state), np.float32)
    image = random.normal(0, 1.5, (rows, SIZES.multimodal)).astype(np.float32)
    gradient, next_state = session.run(
        ["gradient", "next_state"],
        {"token": token, "state": state, "image": image, "target": target},
    )
    expected = np.zeros((rows, SIZES.multimodal))
    width = 1e-5
    for column in range(SIZES.multimodal):
        sides = []
        for sign in (1.0, -1.0):
            moved = image.astype(np.float64)
            moved[:, column] += sign * width
            log_probs, _ = numpy_step(model, token, state.astype(np.float64), moved)
            sides.append(log_probs[np.arange(rows), target])
        expected[:, column] = (sides[0] - sides[1]) / (2 * width)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    np.testing.assert_allclose(next_state, numpy_step(model, token, state, image)[1], atol=1e-5)


@pytest.mark.parametrize("cell", list(Cell))
def test_the_gradient_of_every_cell_and_of_a_tied_softmax_is_that_of_central_differences(cell):
    torch.manual_seed(6)
    model = MRNN(dataclasses.replace(SIZES, cell=cell, tied=True)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(weights.half())
    session = onnxruntime.InferenceSession(export_gradient(model, METADATA))
    random = np.random.default_rng(2)
    token, target = random.integers(0, SIZES.vocabulary, (2, 3))
    state = random.normal(0, 0.5, (3, model.recurrent.state_size)).astype(np.float32)
    image = random.normal(0, 1.5, (3, SIZES.multimodal)).astype(np.float32)
    gradient, next_state = session.run(
        ["gradient", "next_state"],
        {"token": token, "state": state, "image": image, "target": target},
    )
    exact = model.double()

    @torch.inference_mode()
    def step(moved):
        log_probs, after = exact.step(
            torch.from_numpy(token), torch.from_numpy(state).double(), torch.from_numpy(moved)
        )
        return log_probs.numpy()[np.arange(3), target], after.numpy()

    expected = np.zeros((3, SIZES.multimodal))
    for column in range(SIZES.multimodal):
        side = np.zeros((3, SIZES.multimodal))
        side[:, column] = 1e-5
        up, down = (step(image + sign * side)[0] for sign in (1.0, -1.0))
        expected[:, column] = (up - down) / 2e-5
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    np.testing.assert_allclose(next_state, step(image.astype(np.float64))[1], atol=1e-5)


def test_large_weights_are_stored_as_float16_each_once(model, graph):
    constants = {
        each.name: numpy_helper.to_array(each)
        for each in onnx.load_from_string(graph).graph.initializer
    }
    large = [values for values in constants.values() if values.size >= 1024]
    assert {values.dtype for values in large} == {np.dtype(np.float16)}
    parts = [
        model.embedding_1.weight, model.embedding_2.weight, model.recurrent.weight,
        model.word_to_multimodal.weight, model.state_to_multimodal.weight, model.softmax.weight,
    ]  # fmt: skip
    weights = sum(part.numel() for part in parts if part.numel() >= 1024)
    assert sum(values.size for values in large) == weights


def test_the_graph_says_what_it_is(graph):
    loaded = onnx.load_from_string(graph)
    assert {entry.key: entry.value for entry in loaded.metadata_props} == METADATA
    assert [each.name for each in loaded.graph.input] == ["token", "state", "image", "target"]
    assert [each.name for each in loaded.graph.output] == ["gradient", "next_state"]
