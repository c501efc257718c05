import pytest
import torch
from torch import nn

from mrnn_edge_train.network.averaging import WeightAverage


def averaged(decay, weights):
    """The average after the network's one weight has gone through these values."""
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(weights[0])
    average = WeightAverage(network, decay)
    for step, weight in enumerate(weights[1:], start=1):
        network.weight.data.fill_(weight)
        average.update(network, step)
    return float(average.network.weight.detach())


def test_the_average_is_the_one_computed_by_hand():
    # d(1) = min(0.25, 2/11) = 2/11, d(2) = min(0.25, 3/12) = 0.25, d(3) = 0.25.
    first = 2 / 11 * 1.0 + 9 / 11 * 2.0
    second = 0.25 * first + 0.75 * 4.0
    assert averaged(0.25, [1.0, 2.0, 4.0, 8.0]) == pytest.approx(0.25 * second + 0.75 * 8.0)


def test_the_memory_is_short_at_first_so_that_the_random_start_is_left():
    assert averaged(0.999, [100.0] + [1.0] * 50) == pytest.approx(1.0, abs=1e-3)


def test_without_decay_it_is_the_network_to_the_last_bit():
    assert averaged(0.0, [1.0, 0.1, 0.3]) == float(torch.tensor(0.3))


def test_the_twin_takes_no_gradient_and_stays_in_inference_mode():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    average = WeightAverage(network, 0.9)
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert not average.network[1].training
    assert network[1].training
