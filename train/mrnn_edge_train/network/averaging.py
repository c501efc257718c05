"""An exponential moving average of a network's weights (Polyak averaging with a fading memory).

    a(n) = d(n) a(n-1) + (1 - d(n)) w(n),   d(n) = min(decay, (1 + n) / (10 + n)),   a(0) = w(0)

The rising d(n) lets the average leave the random start. Takes any network, gives its averaged
copy.
"""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class WeightAverage(Generic[Network]):
    """The averaged copy of a network, in inference mode. With decay 0 it equals the network."""

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Add the weights after step n = 1, 2, …"""
        decay = min(self._decay, (1 + step) / (10 + step))
        for mean, weight in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, 1.0 - decay)
