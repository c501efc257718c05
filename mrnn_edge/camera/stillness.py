"""Whether a frame shows anything new at all, by means over a grid: before the encoder is run.

A camera that looks at an empty room for days should not run a CNN twice a second. Means over 16 x
16 fields average a sensor's noise out (of sigma 4 at 640 x 480 to an eighth of a level), so a field
that changed by 2 of 255 levels changed in the picture. Whatever passes here is compared by its
image vector (scene.py). Knows pixels only.
"""

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.image.read import Pixels

FIELDS: Final = 16
"""Rows and columns of the grid."""
LEVELS: Final = 2.0
"""Change of a field's mean, in any channel, from which on a frame is another one."""


class Stillness:
    """Remembers the last frame that was another one."""

    def __init__(self) -> None:
        self._means: NDArray[np.float64] | None = None

    def forget(self) -> None:
        """The next frame is another one."""
        self._means = None

    def changed(self, pixels: Pixels) -> bool:
        """Whether a frame, uint8 [H, W, 3], differs from the last one that did."""
        means = field_means(pixels)
        before = self._means
        if before is None or before.shape != means.shape:
            self._means = means
            return True
        if float(np.abs(means - before).max()) < LEVELS:
            return False
        self._means = means
        return True


def field_means(pixels: Pixels) -> NDArray[np.float64]:
    """Means of each channel over the fields, [16, 16, 3] or fewer."""
    rows, columns = _edges(pixels.shape[0]), _edges(pixels.shape[1])
    # Down the rows first: those sums run along the memory. A sum for each field row is four times
    # as fast as reduceat, which goes through the numbers one by one.
    fields = itertools.pairwise(rows)
    bands = np.stack([pixels[top:end].sum(axis=0, dtype=np.uint32) for top, end in fields])
    sums = np.add.reduceat(bands, columns[:-1], axis=1)
    areas = np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None]
    means: NDArray[np.float64] = sums / areas
    return means


def _edges(size: int) -> NDArray[np.intp]:
    return np.linspace(0, size, min(FIELDS, size) + 1).astype(np.intp)
