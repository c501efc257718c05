"""What else the machine did while something was measured: other processes, stolen time, load.

Reads /proc/stat of the cores that this process may use; elsewhere than on Linux only the spread of
the times is left to judge by. Takes the root of those files, so that tests can bring their own.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mrnn_edge.machine import usable_cpus

_OTHER_CORES: Final = 0.1
"""Cores taken by others from which on a machine is busy. Seen idle: up to 0.03 of two."""
_STOLEN: Final = 0.02
"""Share of the cores' time that the hypervisor gave to others, from which on a machine is busy."""
_SPREAD: Final = 1.25
"""p95 over p50 of the same work from which on a machine is busy. Seen idle: 1.09."""
_IDLE: Final = (3, 4)
"""Columns of /proc/stat: idle, and waiting for a disk."""
_STEAL: Final = 7
_COLUMNS: Final = 8
"""What follows is the time of guests, which is counted in the first two columns already."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How idle the machine was; None is unknown."""

    other_cores: float | None
    """Cores' worth of time that other processes took of those that this one may use."""
    steal_share: float | None
    """Share of the cores' time that a hypervisor gave to other machines."""
    load_average: float | None
    """Of the minute before the end, this process included; not judged by."""
    spread: float
    """p95 over p50 of the same work done again and again."""

    @property
    def busy(self) -> bool:
        """Whether other work made the figures worse."""
        return bool(self.reasons())

    def reasons(self) -> list[str]:
        """What speaks for a busy machine, for people; none if nothing does."""
        found = []
        if self.other_cores is not None and self.other_cores > _OTHER_CORES:
            found.append(f"other processes took {self.other_cores:.2f} cores")
        if self.steal_share is not None and self.steal_share > _STOLEN:
            found.append(f"the hypervisor took {self.steal_share:.0%} of the time")
        if self.spread > _SPREAD:
            found.append(f"p95 is {self.spread:.2f} times p50")
        return found

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, `busy` included."""
        return {**asdict(self), "busy": self.busy}


@dataclass(frozen=True)
class _Reading:
    wall: float
    own: float
    """CPU seconds of this process and of children that have ended."""
    busy: float | None
    """CPU seconds of everybody on these cores."""
    stolen: float


class LoadWatch:
    """Watches from its making to `conditions`."""

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        clock: Callable[[], float] = time.monotonic,
        own: Callable[[], float] = lambda: sum(os.times()[:4]),
    ) -> None:
        """`clock` gives seconds, `own` the CPU seconds of this process and its children."""
        self._root, self._clock, self._own = root, clock, own
        self._start = self._read()

    def conditions(self, *, spread: float) -> Conditions:
        """What was seen; `spread` is p95 over p50 of what was measured meanwhile."""
        before, now = self._start, self._read()
        wall = max(now.wall - before.wall, 1e-9)
        other, steal = None, None
        if now.busy is not None and before.busy is not None:
            other = max(0.0, now.busy - before.busy - (now.own - before.own)) / wall
            steal = (now.stolen - before.stolen) / (wall * len(usable_cpus()))
        return Conditions(
            other_cores=other, steal_share=steal, load_average=_load_average(), spread=spread
        )

    def _read(self) -> _Reading:
        try:
            lines = (self._root / "proc/stat").read_text().splitlines()
        except OSError:
            return _Reading(self._clock(), self._own(), None, 0.0)
        wanted = {f"cpu{core}" for core in usable_cpus()}
        ticks = float(os.sysconf("SC_CLK_TCK"))
        busy, stolen = 0, 0
        for line in lines:
            name, *columns = line.split()
            if name in wanted:
                numbers = [int(each) for each in columns[:_COLUMNS]]
                stolen += numbers[_STEAL]
                busy += sum(numbers) - numbers[_STEAL] - sum(numbers[each] for each in _IDLE)
        return _Reading(self._clock(), self._own(), busy / ticks, stolen / ticks)


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):  # Windows has none
        return None
