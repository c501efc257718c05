"""The widest beam that is ready in time, by how long beams took here before. Runs nothing."""

from typing import Final

_MEMORY: Final = 0.8
"""Share of the last estimate in the next one, where that is the slower: one slow call is noticed at
once and forgotten slowly."""
_FORGETTING: Final = 0.95
"""Of a wider beam's estimate at each call that did without it, so that it is tried again."""


class BeamClock:
    """Milliseconds that beams of each width take on this machine."""

    def __init__(self, widest: int) -> None:
        self._widest = widest
        self._known: dict[int, float] = {}

    def widest_within(self, left_ms: float) -> int:
        """The widest beam that should be ready in so many milliseconds; 1 if none should."""
        fitting = (w for w in range(self._widest, 1, -1) if self.estimate_ms(w) <= left_ms)
        return next(fitting, 1)

    def estimate_ms(self, width: int) -> float:
        """What a beam of this width takes.

        A width that was never tried takes at most as long as a wider one, and at most its share
        more than a narrower one; infinity before anything was tried.
        """
        if width in self._known:
            return self._known[width]
        wider = (self._known[w] for w in self._known if w > width)
        narrower = (self._known[w] * width / w for w in self._known if w < width)
        return min([*wider, *narrower], default=float("inf"))

    def took(self, width: int, spent_ms: float) -> None:
        """Learn from a search."""
        before = self._known.get(width, 0.0)
        self._known[width] = max(spent_ms, _MEMORY * before + (1.0 - _MEMORY) * spent_ms)
        for wider in self._known:
            if wider > width:
                self._known[wider] *= _FORGETTING
