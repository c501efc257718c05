"""Percentiles of times, and when a warm-up is over. Knows numbers only."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Final

import numpy as np

_WINDOW: Final = 10
"""Runs whose median is compared with that of as many before."""
_STEADY: Final = 0.05
"""Two medians that differ by no more are the same speed."""


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Of single runs, in milliseconds, with linear interpolation between two runs."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Percentiles":
        """Of at least one time in milliseconds."""
        p50, p95, p99 = (float(each) for each in np.percentile(samples, (50, 95, 99)))
        return cls(p50=p50, p95=p95, p99=p99)

    def to_dict(self) -> dict[str, float]:
        """The JSON form."""
        return asdict(self)


def warm_up(sample: Callable[[], float], *, most: int) -> int:
    """Call `sample`, which gives a time, until its times are steady; returns how many calls.

    Steady is when the median of the last ten lies within 5 % of that of the ten before. After
    `most` calls it is left at that.
    """
    times: list[float] = []
    while len(times) < most:
        times.append(sample())
        if len(times) >= 2 * _WINDOW:
            before = median(times[-2 * _WINDOW : -_WINDOW])
            if abs(median(times[-_WINDOW:]) - before) <= _STEADY * before:
                break
    return len(times)
