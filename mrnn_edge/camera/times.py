"""The times of a file's frames, out of what its container says: forward, whatever that is.

Containers hold times that go backwards, that start anew in the middle where two recordings were
joined, and single ones that are far off. Takes positions, gives times; knows no file.
"""

from typing import Final

_GAP_S: Final = 10.0
"""The longest step from one frame to the next that is believed at once."""
_GAP_FRAMES: Final = 10
"""The same in frames, for slide shows, whose frames are far apart."""


class FrameTimes:
    """Times that go forward from each frame to the next."""

    def __init__(self, rate: float) -> None:
        self._step_s = 1.0 / rate
        self._gap_s = max(_GAP_S, _GAP_FRAMES * self._step_s)
        self._last_s: float | None = None
        self._position_s: float | None = None
        self._jumped = False

    def next(self, position_s: float | None) -> float:
        """Seconds of the next frame, by its position as the container has it, None where it has
        none.

        A position is believed if it is ahead of the last time by no more than the gap, or if it
        goes on from the last position: of a jump far ahead the first frame stays where the rate
        puts it, and the second proves the jump, which a single bad position never does. Two jumps
        one after the other prove each other, as in a slide show in which the rate is another's.
        One that goes on from the last position, but lies behind, gives its step alone; any other
        one frame at the rate.
        """
        before, self._position_s = self._position_s, position_s
        jumped, self._jumped = self._jumped, False
        last = self._last_s
        if last is None:
            first = position_s is not None and position_s <= self._gap_s
            self._last_s = position_s if first and position_s is not None else 0.0
            return self._last_s
        step = None if position_s is None or before is None else position_s - before
        goes_on = step is not None and 0.0 < step <= self._gap_s
        if position_s is not None and last < position_s:
            self._jumped = not goes_on and position_s - last > self._gap_s
            rises = jumped and step is not None and step > 0.0
            if rises or not self._jumped:
                self._last_s = position_s
                return position_s
        self._last_s = last + (step if goes_on and step is not None else self._step_s)
        return self._last_s
