"""When a lost source is tried again, and when no more. Knows no clock and no source."""

from dataclasses import dataclass
from typing import Final

from mrnn_edge.errors import OptionError

MARGIN_S: Final = 3.0
"""How much longer than FFmpeg the watchdog waits for a stream. FFmpeg's own limit ends the thread
and closes the connection, which some cameras need before they take another; and where a stream does
not open, the message takes a knock at the server of 2 s."""


@dataclass(frozen=True, kw_only=True)
class ReconnectPolicy:
    """Limits of patience, in seconds."""

    open_s: float = 15.0
    """For the first frame after a source was opened. With it a first open that fails ends in time
    whatever the backend does with limits of its own."""
    stall_s: float = 5.0
    """For the next frame of a source that gave one; then the read counts as blocked for good."""
    budget_s: float = 60.0
    """From when the loss was seen until the source is given up, after one try at least."""
    pauses_s: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
    """Before each try; the last one stands for all later ones. They start anew after a connection
    that gave frames for as long as the pause before it: one that dies with its first frame, again
    and again, is not to be opened twice a second for ever."""

    def __post_init__(self) -> None:
        for name in ("open_s", "stall_s", "budget_s"):
            value = getattr(self, name)
            if not 0.0 < value < float("inf"):
                raise OptionError(f"{name} is {value}, expected a number of seconds above 0")
        if not self.pauses_s:
            raise OptionError("pauses_s is empty, expected one pause at least")


class Reconnect:
    """Counts the tries since the source last ran for a while."""

    def __init__(self, policy: ReconnectPolicy) -> None:
        self._pauses = policy.pauses_s
        self._tries = 0
        self._pause = 0.0

    def next_pause(self, *, ran_s: float | None) -> float:
        """Seconds to wait before the next try; longer each time, up to the last of the policy.

        `ran_s` is how long frames came over the connection that ended, None without any.
        """
        if ran_s is not None and ran_s >= self._pause:
            self._tries = 0
        self._pause = self._pauses[min(self._tries, len(self._pauses) - 1)]
        self._tries += 1
        return self._pause
