"""The types of arrays that rooms hand to each other, and the largest numbers of one."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Ids: TypeAlias = NDArray[np.int64]


def largest(values: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """Indices intp [count] of the largest finite values of float [N], ties by lower index."""
    count = min(count, len(values))
    if count < 1:
        return np.zeros(0, np.intp)
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    candidates = np.flatnonzero((values >= threshold) & np.isfinite(values))
    order = np.argsort(-values[candidates], kind="stable")
    return candidates[order][:count]
