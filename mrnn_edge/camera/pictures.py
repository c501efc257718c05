"""Pictures of a folder or one file, and arrays that the caller makes, as frames."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np

from mrnn_edge.camera.address import hide_credentials
from mrnn_edge.camera.frames import ALL, USUAL_RATE, Frame, Notice, Selection, unheard
from mrnn_edge.errors import (
    CameraUnavailableError,
    ImageInputError,
    InputError,
    OptionError,
    TruncatedVideoError,
)
from mrnn_edge.image.formats import MAC_HALF, SUFFIXES
from mrnn_edge.image.read import Pixels, load_image


class PictureSequence:
    """Pictures of a folder or one file, in order, as frames. A FrameSource."""

    live: Final = False
    lost: Final = False

    def __init__(self, name: str, *, selection: Selection = ALL, notice: Notice = unheard) -> None:
        self.name: Final = hide_credentials(name)
        self._paths = list_pictures(name)
        self._selection = selection
        self._notice = notice
        self._closed = False

    @property
    def rate(self) -> float:
        """Frames a second that come out of here."""
        return self._selection.fps or USUAL_RATE / self._selection.every

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """The selected pictures; an unreadable one is reported and skipped.

        Raises TruncatedVideoError after the last one if some were skipped.
        """
        del tick
        last_s, failed = None, 0
        for number, path in enumerate(self._paths):
            if self._closed:
                return
            now_s = number / USUAL_RATE
            if not self._selection.wants(number=number, time_s=now_s, last_s=last_s):
                continue
            try:
                pixels = np.asarray(load_image(path), dtype=np.uint8)
            except InputError as error:
                failed += 1
                self._notice(str(error))
                continue
            last_s = now_s
            yield Frame(number=number, time_s=now_s, captured=time.monotonic(), pixels=pixels)
        if failed:
            raise TruncatedVideoError(
                f"{self.name}: {failed} of {len(self._paths)} pictures could not be read"
            )

    def close(self) -> None:
        """Stop before the next picture."""
        self._closed = True


def list_pictures(name: str) -> list[str]:
    """The pictures of a folder in order, or the one of a path.

    Those of a folder are in byte order, by suffix. Raises CameraUnavailableError where there is
    none.
    """
    paths = [name] if os.path.exists(name) else []
    if os.path.isdir(name):
        try:
            names = sorted(os.listdir(name), key=os.fsencode)
        except OSError as error:
            raise CameraUnavailableError(
                f"{name}: cannot be listed ({error.strerror}); check its owner and mode"
            ) from None
        paths = [
            os.path.join(name, each)
            for each in names
            if os.path.splitext(each)[1].lower() in SUFFIXES and not each.startswith(MAC_HALF)
        ]
    if not paths:
        raise CameraUnavailableError(
            f"{hide_credentials(name)}: no picture found; expected a video or a folder of pictures"
        )
    return paths


class GivenFrames:
    """The frames of an iterable. A FrameSource.

    Times come from `rate`, without one from the clock. Raises OptionError for an object that is not
    iterable.
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
        """The caller's frames. Raises ImageInputError for anything else than a frame.

        An iterator made here is closed here. One from the caller stays open, as after a `break` in
        a `for` loop: the caller may continue with it.
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
