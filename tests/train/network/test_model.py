"""The network against an independent forward pass in numpy, equation by equation."""

import dataclasses

import numpy as np
import pytest
import torch

from mrnn_edge_train.network.cells import Cell
from mrnn_edge_train.network.model import MRNN, Dropouts, ModelSizes, scaled_tanh

SIZES = ModelSizes(vocabulary=13, feature=9, embedding=5, state=7, multimodal=6)


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = MRNN(SIZES)
    network.standardise_on(torch.randn(50, SIZES.feature) * 3 + 2)
    with torch.no_grad():
        network.recurrent.weight += 0.3 * torch.randn(SIZES.state, SIZES.state)
    return network.eval()


def numpy_forward(model: MRNN, tokens: np.ndarray, features: np.ndarray) -> np.ndarray:
    """One-hot words through the paper's six layers -> probabilities [B, T, V]."""
    p = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
    image = (features - p["feature_mean"]) * p["feature_scale"]
    projected = image @ p["image_to_multimodal.weight"].T + p["image_to_multimodal.bias"]
    r = np.zeros((len(tokens), SIZES.state))
    steps = []
    for t in range(tokens.shape[1]):
        one_hot = np.eye(SIZES.vocabulary)[tokens[:, t]]
        e = one_hot @ p["embedding_1.weight"]
        w = e @ p["embedding_2.weight"].T + p["embedding_2.bias"]
        r = np.maximum(0, r @ p["recurrent.weight"].T + w)
        summed = (
            w @ p["word_to_multimodal.weight"].T + r @ p["state_to_multimodal.weight"].T + projected
        )
        m = 1.7159 * np.tanh(2 / 3 * summed)
        scores = m @ p["softmax.weight"].T + p["softmax.bias"]
        y = np.exp(scores - scores.max(axis=1, keepdims=True))
        steps.append(y / y.sum(axis=1, keepdims=True))
    return np.stack(steps, axis=1)


@pytest.fixture
def batch():
    random = np.random.default_rng(1)
    tokens = random.integers(0, SIZES.vocabulary, (4, 8))
    features = random.normal(2, 3, (4, SIZES.feature)).astype(np.float32)
    return tokens, features


def test_teacher_forcing_equals_numpy(model, batch):
    tokens, features = batch
    mask = torch.ones(tokens.shape, dtype=torch.bool)
    logits = model(torch.from_numpy(tokens), torch.from_numpy(features), mask)
    found = torch.softmax(logits, -1).detach().numpy().reshape(4, 8, -1)
    np.testing.assert_allclose(found, numpy_forward(model, tokens, features), atol=1e-5)


def test_single_steps_equal_numpy(model, batch):
    tokens, features = batch
    expected = numpy_forward(model, tokens, features)
    image = model.image_vector(torch.from_numpy(features))
    state = torch.zeros(4, model.recurrent.state_size)
    for t in range(tokens.shape[1]):
        log_probs, state = model.step(torch.from_numpy(tokens[:, t]), state, image)
        np.testing.assert_allclose(log_probs.exp().detach().numpy(), expected[:, t], atol=1e-5)


def test_only_masked_positions_are_computed_row_by_row(model, batch):
    tokens, features = batch
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    mask[0, :2] = mask[3, :5] = True
    logits = model(torch.from_numpy(tokens), torch.from_numpy(features), mask)
    expected = numpy_forward(model, tokens, features)
    chosen = np.concatenate([expected[0, :2], expected[3, :5]])
    np.testing.assert_allclose(torch.softmax(logits, -1).detach().numpy(), chosen, atol=1e-5)


def test_the_default_sizes_are_the_papers():
    sizes = ModelSizes(vocabulary=2538, feature=1280)
    assert (sizes.embedding, sizes.state, sizes.multimodal) == (128, 256, 512)
    parameters = sum(p.numel() for p in MRNN(sizes).parameters())
    by_hand = (
        2538 * 128 + 128 * 256 + 256  # embeddings
        + 256 * 256  # recurrent
        + 256 * 512 * 2 + 1280 * 512 + 512  # multimodal
        + 512 * 2538 + 2538  # softmax
    )  # fmt: skip
    assert parameters == by_hand


def test_tied_embeddings_score_the_words_by_their_own_embeddings(batch):
    torch.manual_seed(2)
    sizes = dataclasses.replace(SIZES, tied=True)
    network = MRNN(sizes).eval()
    p = {name: value.detach().double().numpy() for name, value in network.state_dict().items()}
    hidden = np.random.default_rng(0).normal(0, 1, (4, sizes.multimodal)).astype(np.float32)
    found = network.logits(torch.from_numpy(hidden)).detach().numpy()
    vectors = hidden @ p["softmax.projection.weight"].T
    by_hand = [
        [vector @ p["embedding_1.weight"][word] + p["softmax.bias"][word] for word in range(13)]
        for vector in vectors
    ]
    np.testing.assert_allclose(found, by_hand, atol=1e-5)


def test_tying_spares_a_third_of_the_papers_parameters():
    sizes = ModelSizes(vocabulary=2538, feature=1280)
    plain, tied = (
        sum(p.numel() for p in MRNN(dataclasses.replace(sizes, tied=tied)).parameters())
        for tied in (False, True)
    )
    assert plain - tied == 512 * 2538 - 512 * 128
    assert 0.45 < (plain - tied) / plain < 0.5


@pytest.mark.parametrize("cell", list(Cell))
@pytest.mark.parametrize("tied", [False, True])
def test_teacher_forcing_and_single_steps_agree_for_every_cell(cell, tied, batch):
    torch.manual_seed(5)
    network = MRNN(dataclasses.replace(SIZES, cell=cell, tied=tied)).eval()
    tokens, features = map(torch.from_numpy, batch)
    mask = torch.ones(tokens.shape, dtype=torch.bool)
    forced = torch.log_softmax(network(tokens, features, mask), -1).reshape(4, 8, -1)
    image, state = network.image_vector(features), torch.zeros(4, network.recurrent.state_size)
    for t in range(tokens.shape[1]):
        log_probs, state = network.step(tokens[:, t], state, image)
        torch.testing.assert_close(forced[:, t], log_probs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", [Cell.GRU, Cell.LSTM])
def test_errors_reach_every_parameter_of_a_gated_and_tied_network(cell, batch):
    torch.manual_seed(5)
    network = MRNN(dataclasses.replace(SIZES, cell=cell, tied=True))
    tokens, features = map(torch.from_numpy, batch)
    mask = torch.ones(tokens.shape, dtype=torch.bool)
    network(tokens, features, mask).logsumexp(-1).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_scaled_tanh_is_lecuns():
    x = torch.tensor([-2.0, 0.0, 1.0])
    np.testing.assert_allclose(scaled_tanh(x), 1.7159 * np.tanh(2 / 3 * x.numpy()), rtol=1e-6)
    # Chosen by LeCun so that g(1) = 1 and g(-1) = -1.
    assert float(scaled_tanh(torch.tensor(1.0))) == pytest.approx(1.0, abs=1e-4)


def test_features_are_standardised_over_the_training_split_and_divided_by_eight(model):
    torch.manual_seed(1)
    features = torch.randn(200, SIZES.feature) * 5 - 3
    model.standardise_on(features)
    seen = (features - model.feature_mean) * model.feature_scale
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std(0), 1 / 8, rtol=1e-4)


def test_the_image_enters_the_multimodal_layer_and_not_the_recurrence(model, batch):
    tokens = torch.from_numpy(batch[0][:1, 0])
    state = torch.randn(1, SIZES.state)
    one = model.step(tokens, state, torch.zeros(1, SIZES.multimodal))
    other = model.step(tokens, state, torch.ones(1, SIZES.multimodal))
    assert torch.equal(one[1], other[1])
    assert not torch.allclose(one[0], other[0])


def test_errors_reach_every_parameter(model, batch):
    tokens, features = batch
    mask = torch.ones(tokens.shape, dtype=torch.bool)
    model(torch.from_numpy(tokens), torch.from_numpy(features), mask).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_dropout_acts_in_training_only(batch):
    torch.manual_seed(0)
    network = MRNN(SIZES, Dropouts(image=0.5, word=0.5, multimodal=0.5))
    tokens, features = map(torch.from_numpy, batch)
    mask = torch.ones(tokens.shape, dtype=torch.bool)
    assert not torch.equal(network(tokens, features, mask), network(tokens, features, mask))
    network.eval()
    assert torch.equal(network(tokens, features, mask), network(tokens, features, mask))
