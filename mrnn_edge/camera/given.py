"""Frames that the caller makes: uint8 RGB arrays [H, W, 3], or Frame objects.

They are taken when they are wanted, in the caller's thread, and each is checked.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np

from mrnn_edge.camera.frames import Frame
from mrnn_edge.errors import ImageInputError, OptionError
from mrnn_edge.image.read import Pixels


class GivenFrames:
    """The frames of an iterable. A FrameSource.

    `rate` gives them a time each; without one it is the clock's when they come. Raises OptionError
    for what cannot be iterated over.
    """

    live: Final = False
    lost: Final = False
    name: Final = "frames"

    def __init__(
        self,
        frames: Iterable[Pixels | Frame],
        *,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(frames, Iterable):
            raise OptionError(
                f"the source is {type(frames).__name__}; expected a device's number, a path, a URL "
                "or an iterable of uint8 arrays [H, W, 3]"
            )
        self._frames = frames
        self._clock = clock
        self.rate: Final = rate

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """The caller's frames. Raises ImageInputError for what is none.

        An iterator that is made here is closed here, if it can be. One that the caller handed over
        stays open, as after a `for` loop that was left: the caller may go on with it.
        """
        del tick
        start = self._clock()
        frames = iter(self._frames)
        try:
            for number, given in enumerate(frames):
                captured = self._clock()
                if isinstance(given, Frame):
                    _check(given.pixels, number)
                    yield given
                    continue
                _check(given, number)
                yield Frame(
                    number=number,
                    time_s=captured - start if self.rate is None else number / self.rate,
                    captured=captured,
                    pixels=given,
                )
        finally:
            close = getattr(frames, "close", None)
            if frames is not self._frames and close is not None:
                close()

    def close(self) -> None:
        """Nothing is held."""


def _check(given: object, number: int) -> None:
    if isinstance(given, np.ndarray):
        if given.ndim == 3 and given.shape[2] == 3 and given.dtype == np.uint8 and given.size:
            return
        what = f"an array of shape {list(given.shape)} and type {given.dtype}"
    else:
        what = "None" if given is None else type(given).__name__
    raise ImageInputError(
        f"frame {number} is {what}; expected a uint8 array [H, W, 3] in RGB order"
    )
