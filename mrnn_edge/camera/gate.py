"""What saves work before it is done: unchanged frames are skipped, the beam fits the deadline.

A camera that looks at an empty room for days should not run a CNN twice a second. Means over 16 x
16 fields average a sensor's noise out (of sigma 4 at 640 x 480 to an eighth of a level), so a field
that changed by 2 of 255 levels changed in the picture. Frames that pass are compared by
their image vectors (scene.py). Knows pixels and milliseconds only.
"""

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.image.read import Pixels

FIELDS: Final = 16
"""Rows and columns of the grid."""
LEVELS: Final = 2.0
"""Smallest change of a field's mean, in any channel, that makes a frame count as changed."""


class Stillness:
    """Compares each frame with the last one that changed."""

    def __init__(self) -> None:
        self._means: NDArray[np.float64] | None = None

    def forget(self) -> None:
        """Forget the reference: the next frame counts as changed."""
        self._means = None

    def changed(self, pixels: Pixels) -> bool:
        """Whether a frame, uint8 [H, W, 3], differs from the last changed one."""
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
    """Means of uint8 [H, W, 3] over the fields, float64 [16, 16, 3] or fewer fields."""
    rows, columns = _edges(pixels.shape[0]), _edges(pixels.shape[1])
    # Rows first: those sums run along the memory, four times as fast as reduceat.
    fields = itertools.pairwise(rows)
    bands = np.stack([pixels[top:end].sum(axis=0, dtype=np.uint32) for top, end in fields])
    sums = np.add.reduceat(bands, columns[:-1], axis=1)
    areas = np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None]
    means: NDArray[np.float64] = sums / areas
    return means


def _edges(size: int) -> NDArray[np.intp]:
    return np.linspace(0, size, min(FIELDS, size) + 1).astype(np.intp)


_MEMORY: Final = 0.8
"""Weight of the last estimate after a faster call: one slow call is noticed at once and forgotten
slowly."""
_FORGETTING: Final = 0.95
"""Factor on a wider beam's estimate at each narrower call, so that it is retried."""


class BeamClock:
    """Measures how many milliseconds a beam of each width takes on this machine."""

    def __init__(self, widest: int) -> None:
        self._widest = widest
        self._known: dict[int, float] = {}

    def widest_within(self, left_ms: float) -> int:
        """The widest beam expected to finish in so many milliseconds; at least 1."""
        fitting = (w for w in range(self._widest, 1, -1) if self.estimate_ms(w) <= left_ms)
        return next(fitting, 1)

    def estimate_ms(self, width: int) -> float:
        """The expected time of a beam of this width; infinity before the first measurement.

        An unmeasured width takes at most as long as a wider one, and at most proportionally longer
        than a narrower one.
        """
        if width in self._known:
            return self._known[width]
        wider = (self._known[w] for w in self._known if w > width)
        narrower = (self._known[w] * width / w for w in self._known if w < width)
        return min([*wider, *narrower], default=float("inf"))

    def record(self, width: int, spent_ms: float) -> None:
        """Update the estimates with a measured search."""
        before = self._known.get(width, 0.0)
        self._known[width] = max(spent_ms, _MEMORY * before + (1.0 - _MEMORY) * spent_ms)
        for wider in self._known:
            if wider > width:
                self._known[wider] *= _FORGETTING
