"""Each cell against the equations of its docstring, in numpy, gate by gate."""

import numpy as np
import pytest
import torch

from mrnn_edge_train.network.cells import Cell, make_cell

R = 5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gate(matrix, index):
    """The rows of one gate."""
    return matrix[index * R : (index + 1) * R]


def numpy_relu(p, words):
    r, seen = np.zeros(R), []
    for w in words:
        r = np.maximum(0, p["weight"] @ r + w)
        seen.append(r)
    return seen


def numpy_gru(p, words):
    r, seen = np.zeros(R), []
    for w in words:
        from_word = [gate(p["input.weight"], k) @ w + gate(p["input.bias"], k) for k in range(3)]
        from_state = [gate(p["weight"], k) @ r for k in range(3)]
        g = sigmoid(from_word[0] + from_state[0])
        z = sigmoid(from_word[1] + from_state[1])
        n = np.tanh(from_word[2] + g * (from_state[2] + p["bias"]))
        r = (1 - z) * n + z * r
        seen.append(r)
    return seen


def numpy_lstm(p, words):
    r, c, seen = np.zeros(R), np.zeros(R), []
    for w in words:
        i, f, n, o = (
            gate(p["input.weight"], k) @ w + gate(p["input.bias"], k) + gate(p["weight"], k) @ r
            for k in range(4)
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(n)
        r = sigmoid(o) * np.tanh(c)
        seen.append(r)
    return seen


@pytest.fixture(params=list(Cell))
def cell(request):
    torch.manual_seed(3)
    cell = make_cell(request.param, R)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter += 0.4 * torch.randn_like(parameter)
    return request.param, cell


@torch.no_grad()
def test_a_cell_runs_its_equations_from_a_state_of_zeros(cell):
    name, module = cell
    words = np.random.default_rng(2).normal(0, 1, (7, R)).astype(np.float32)
    state, found = torch.zeros(1, module.state_size), []
    for word in torch.from_numpy(words):
        state = module.advance(module.drive(word[None]), state)
        found.append(module.output(state)[0].numpy())
    by_hand = {Cell.RELU: numpy_relu, Cell.GRU: numpy_gru, Cell.LSTM: numpy_lstm}[name]
    weights = {key: value.double().numpy() for key, value in module.state_dict().items()}
    np.testing.assert_allclose(found, by_hand(weights, words), atol=1e-5)


@torch.no_grad()
def test_an_lstm_keeps_its_two_states_side_by_side():
    cell = make_cell(Cell.LSTM, R)
    state = torch.randn(3, 2 * R)
    after = cell.advance(torch.randn(3, 4 * R), state)
    assert after.shape == (3, 2 * R)
    assert torch.equal(cell.output(after), after[:, :R])
    # r(t) = o tanh(c(t)): the first half is never further from zero than tanh of the second.
    assert (after[:, :R].abs() <= torch.tanh(after[:, R:]).abs()).all()


def test_a_fresh_lstm_keeps_what_it_holds_and_a_fresh_gate_loses_no_direction():
    lstm, gru = make_cell(Cell.LSTM, R), make_cell(Cell.GRU, R)
    assert torch.equal(lstm.input.bias[R : 2 * R], torch.ones(R))
    for matrix in gru.weight.detach().split(R):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(R), atol=1e-5)
