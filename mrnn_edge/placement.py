"""Where a caption is fastest: the candidates, and open graphs timed.

Takes open graphs, gives milliseconds. Knows no runtime and no file. A GPU is not always faster: a
step is 26 small kernels, and each launch costs what a small CPU needs for the whole of it, so the
CNN on the GPU and the step on the CPU is a choice of its own.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Protocol

import numpy as np

from mrnn_edge.beams import Floats, SearchSpace, StepFunction, begin
from mrnn_edge.config import BundleConfig
from mrnn_edge.device import CPU, ON_CPU, Device, DeviceKind, Placement

ROUNDS: Final = 5
STEPS: Final = 12
"""Words of a caption, about."""


_CUDA: Final = Device(kind=DeviceKind.CUDA)
CANDIDATES: Final = (
    ON_CPU,
    Placement(encoder=_CUDA, step=_CUDA),
    Placement(encoder=_CUDA, step=CPU),
)
"""Of two that are as fast the first is taken."""


class Pair(Protocol):
    """What is timed of open graphs."""

    @property
    def encoder(self) -> Callable[[Any], Floats]:
        """uint8 [B, H, W, 3] -> float32 [B, M]."""

    @property
    def step(self) -> StepFunction:
        """One time frame."""


@dataclass(frozen=True)
class Measured:
    """Milliseconds of a caption at each of the candidates."""

    caption_ms: Mapping[Placement, float]

    def best(self) -> Placement:
        """The placement of the shortest caption."""
        return min(CANDIDATES, key=self.caption_ms.__getitem__)

    def __str__(self) -> str:
        return ", ".join(f"{each} {self.caption_ms[each]:.1f} ms" for each in CANDIDATES)


def measure(pairs: Mapping[Placement, Pair], config: BundleConfig) -> Measured:
    """Time each pair with a grey picture and a greedy caption's steps, the median of a few runs.

    Raises what the graphs raise: DeviceError, ModelError, NumericalError.
    """
    return Measured({each: _milliseconds(pair, config) for each, pair in pairs.items()})


def _milliseconds(pair: Pair, config: BundleConfig) -> float:
    grey = np.full((1, config.image.height, config.image.width, 3), 127, np.uint8)
    space = SearchSpace(start=0, end=0, banned=(), state=config.sizes.state)

    def caption() -> None:
        begin(pair.step, pair.encoder(grey), space, (0,) * STEPS)

    caption()  # the first one loads libraries and chooses kernels
    spent = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        caption()
        spent.append((time.perf_counter() - start) * 1000.0)
    return median(spent)
