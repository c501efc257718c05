"""A live source: the newest frame counts, and a lost source is reopened.

Each attempt has a daemon thread and a slot of its own. The thread opens the source and puts frames
into the slot; the reader of frames is the watchdog. It abandons an attempt that ended or blocks
together with its slot, so a thread that wakes up late has no effect. OpenCV's own timeouts do not
work everywhere, and a thread that hangs in C cannot be ended, only left behind.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from mrnn_edge.camera.capture import Capture, OpenCapture
from mrnn_edge.camera.frames import Frame, Notice, ReconnectPolicy, unheard
from mrnn_edge.errors import CameraLostError, CameraUnavailableError, MrnnEdgeError

_FAREWELL_S: Final = 1.0
"""For a thread to let its device go when the source is closed."""


class LiveSource:
    """The newest frames of a device or stream. A FrameSource.

    The watchdog fires `margin_s` seconds after the policy's limits, as some captures enforce these
    themselves.
    """

    live: Final = True

    def __init__(
        self,
        name: str,
        open_capture: OpenCapture,
        *,
        policy: ReconnectPolicy | None = None,
        margin_s: float = 0.0,
        notice: Notice = unheard,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name: Final = name
        self._open = open_capture
        self._policy = policy or ReconnectPolicy()
        self._margin_s = margin_s
        self._notice = notice
        self._clock = clock
        self._try: _Try | None = None
        self._loss: _Loss | None = None

    @property
    def rate(self) -> float | None:
        """The declared rate, once the source is open."""
        return None if self._try is None else self._try.rate

    @property
    def lost(self) -> bool:
        """No frame comes at present, and the source is being reopened."""
        return self._loss is not None

    def frames(self, *, tick: float) -> Iterator[Frame | None]:
        """The newest frames, and None after `tick` seconds without one, endlessly.

        Raises CameraUnavailableError if the first attempt gives no frame, CameraLostError where
        none came within the limits of the policy.
        """
        reconnect = Reconnect(self._policy)
        attempt = self._begin(_Before(started=self._clock()))
        came = False
        try:
            while True:
                # Before the slot is read, so that the last frame still comes.
                reason = attempt.trouble(self._policy, margin_s=self._margin_s)
                frame = attempt.slot.take(tick)
                if frame is not None:
                    if self._loss is not None:
                        self._notice(f"{self.name}: is back")
                    came, self._loss = True, None
                    yield frame
                    continue
                self._check_budget(attempt)
                if reason is None:
                    yield None
                    continue
                attempt.abandon()
                if not came:
                    raise self._unavailable(attempt, reason)
                if self._loss is None:
                    self._loss = _Loss(seen=self._clock())
                    self._notice(f"{self.name}: {reason}; trying again")
                else:
                    self._loss.retried = True
                yield from self._pause(reconnect, attempt, tick)
                attempt = self._begin(attempt.handed_on())
        finally:
            self.close()

    def close(self) -> None:
        """Abandon the running attempt; its thread gets a moment to release the device."""
        if self._try is not None:
            self._try.leave()

    def _begin(self, before: "_Before") -> "_Try":
        self._try = _Try(self._open, clock=self._clock, before=before)
        return self._try

    def _pause(self, reconnect: "Reconnect", attempt: "_Try", tick: float) -> Iterator[None]:
        """Wait for the next attempt; yield None each tick."""
        again = self._clock() + reconnect.next_pause(ran_s=attempt.ran_s)
        while (left := again - self._clock()) > 0.0:
            self._check_budget(attempt)
            time.sleep(min(left, tick))
            yield None

    def _check_budget(self, attempt: "_Try") -> None:
        loss = self._loss
        if loss is None or not loss.retried or attempt.last_frame is None:
            return
        now = self._clock()
        if now - loss.seen >= self._policy.budget_s:
            silent = now - attempt.last_frame
            known = isinstance(attempt.failure, MrnnEdgeError)
            reason = str(attempt.failure) if known else f"{self.name}: lost"
            raise CameraLostError(
                f"{reason}; no frame for {silent:.0f} s, although it was reopened; "
                "check power, cable and network"
            )

    def _unavailable(self, attempt: "_Try", reason: str) -> MrnnEdgeError:
        if isinstance(attempt.failure, MrnnEdgeError):
            return attempt.failure
        return CameraUnavailableError(
            f"{self.name}: {reason}; check that it is on, that no other program has it, and the "
            "address"
        )


@dataclass(kw_only=True)
class _Loss:
    """A source that gave frames gives none and is being reopened."""

    seen: float
    """When it was noticed. The last frame may be older, if the reader paused."""
    retried: bool = False
    """An attempt since then has failed; before that the source is not given up."""


@dataclass(frozen=True, kw_only=True)
class _Before:
    """The state before an attempt. All attempts of a source share frame numbers and start time."""

    started: float
    number: int = 0
    """Of the next frame."""
    dropped: int = 0
    connection: int = 0
    """Of the attempt."""
    last_frame: float | None = None
    """When it came."""


class _Try:
    """One attempt: a thread that opens the source and puts its frames into a slot."""

    def __init__(
        self,
        open_capture: OpenCapture,
        *,
        clock: Callable[[], float],
        before: _Before,
    ) -> None:
        self.slot = Slot()
        self.failure: Exception | None = None
        self.rate: float | None = None
        self.last_frame = before.last_frame
        self._open = open_capture
        self._clock = clock
        self._before = before
        self._number = before.number
        self._begun = clock()
        self._first_frame: float | None = None
        self._ended = 0.0
        self._left = False
        self._abandoned = threading.Event()
        self.thread = threading.Thread(target=self._run, name="mrnn-edge camera", daemon=True)
        self.thread.start()

    def handed_on(self) -> _Before:
        """The state for the next attempt."""
        return _Before(
            started=self._before.started,
            number=self._number,
            dropped=self._before.dropped + self.slot.dropped,
            connection=self._before.connection + 1,
            last_frame=self.last_frame,
        )

    @property
    def ran_s(self) -> float | None:
        """Seconds from its first frame to its last one; None without any."""
        if self._first_frame is None or self.last_frame is None:
            return None
        return self.last_frame - self._first_frame

    def trouble(self, policy: ReconnectPolicy, *, margin_s: float) -> str | None:
        """Why no further frame is expected; None while one is."""
        gave = self._first_frame is not None
        limit = policy.stall_s if gave else policy.open_s
        since = self.last_frame if gave and self.last_frame is not None else self._begun
        if not self.slot.closed:
            silent = self._clock() - since >= limit + margin_s
            return f"no frame for {limit:g} s" if silent else None
        if gave and self._ended - since >= limit:  # the capture kept the limit itself
            return f"no frame for {limit:g} s"
        return "gives no more frames" if gave else "gives no frames"

    def abandon(self) -> None:
        """Let the thread end as soon as it can; its results are ignored from now on."""
        self._abandoned.set()

    def leave(self) -> None:
        """Abandon it; the first time, wait a moment for the thread."""
        self.abandon()
        if not self._left:
            self._left = True
            self.thread.join(_FAREWELL_S)

    def _run(self) -> None:
        capture: Capture | None = None
        try:
            capture = self._open()
            self.rate = capture.rate()
            while not self._abandoned.is_set() and capture.grab():
                captured, at = self._clock(), datetime.now(UTC)
                pixels = capture.retrieve()
                number, self._number = self._number, self._number + 1
                if pixels is None:
                    continue
                self.last_frame = captured  # before _first_frame, whose readers use it
                if self._first_frame is None:
                    self._first_frame = captured
                self.slot.put(
                    Frame(
                        number=number,
                        time_s=captured - self._before.started,
                        captured=captured,
                        pixels=pixels,
                        at=at,
                        dropped=self._before.dropped,
                        connection=self._before.connection,
                    )
                )
        except Exception as error:  # cv2.error and others: the attempt failed
            self.failure = error
        finally:
            self._ended = self._clock()
            self.slot.close()
            if capture is not None:
                capture.release()


class Slot:
    """Holds the newest frame; overwriting an unread one increments `dropped`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self.dropped = 0
        """Frames that were overwritten unread."""
        self.closed = False
        """No further frame comes; one may still be unread."""

    def put(self, frame: Frame) -> None:
        """Store a frame, overwriting an unread one."""
        with self._changed:
            self.dropped += self._frame is not None
            self._frame = frame
            self._changed.notify()

    def take(self, timeout: float) -> Frame | None:
        """Remove and return the newest frame; None after `timeout` seconds or at the end.

        Its `dropped` includes the frames overwritten here.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self.closed, timeout)
            frame, self._frame = self._frame, None
            if frame is None:
                return None
            return replace(frame, dropped=frame.dropped + self.dropped)

    def close(self) -> None:
        """Announce that no further frame comes; wakes waiting readers."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()


MARGIN_S: Final = 3.0
"""How much longer than FFmpeg the watchdog waits for a stream. FFmpeg's own limit ends the thread
and closes the connection, which some cameras need before they accept another; and the message about
a stream that does not open takes 2 s to probe the server."""


class Reconnect:
    """Counts the attempts since the source last ran for a while."""

    def __init__(self, policy: ReconnectPolicy) -> None:
        self._pauses = policy.pauses_s
        self._tries = 0
        self._pause = 0.0

    def next_pause(self, *, ran_s: float | None) -> float:
        """Seconds to wait before the next attempt; longer each time, up to the policy's last.

        `ran_s` is how long the last connection gave frames, None without any.
        """
        if ran_s is not None and ran_s >= self._pause:
            self._tries = 0
        self._pause = self._pauses[min(self._tries, len(self._pauses) - 1)]
        self._tries += 1
        return self._pause
