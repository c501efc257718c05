"""Rows looked up in a table, and the gradient that comes back to it."""

import numpy as np
import pytest
import torch

from mrnn_edge_train.network.cells import rows_of


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def gradient(table, rows, weights):
    leaf = table.clone().requires_grad_()
    torch.autograd.backward((rows_of(leaf, rows) * weights).sum())
    return leaf.grad


def test_rows_of_any_shape_are_those_of_the_table():
    table, rows = torch.arange(12.0).view(4, 3), torch.tensor([[3, 0], [1, 1]])
    np.testing.assert_array_equal(rows_of(table, rows), table.numpy()[rows.numpy()])
    np.testing.assert_array_equal(rows_of(table, torch.tensor(2)), table.numpy()[2])


def test_the_gradient_of_a_row_is_the_sum_over_the_places_where_it_stands():
    generator = np.random.default_rng(1)
    rows, weights = generator.integers(0, 5, 40), generator.normal(size=(40, 7))
    expected = np.zeros((6, 7))
    np.add.at(expected, rows, weights)
    found = gradient(torch.zeros(6, 7), torch.from_numpy(rows), torch.from_numpy(weights).float())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_gradient_is_the_same_to_the_last_bit_each_time(two_threads):
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(60, 768, generator=generator)
    rows = torch.randint(0, 60, (64,), generator=generator)
    weights = torch.randn(64, 768, generator=generator)
    seen = {gradient(table, rows, weights).numpy().tobytes() for _ in range(100)}
    assert len(seen) == 1
