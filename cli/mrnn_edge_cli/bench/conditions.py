"""How idle the machine was while something was measured.

Reads /proc/stat for the cores that this process may use. Without it, only the spread of the times
is judged. `root` is the folder of that file, for tests.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mrnn_edge.machine import read_text, usable_cpus

_OTHER_CORES: Final = 0.1
"""Cores taken by others from which on a machine is busy. Seen idle: up to 0.03 of two."""
_STOLEN: Final = 0.02
"""Share of the cores' time that the hypervisor gave to others, from which on a machine is busy."""
_SPREAD: Final = 1.25
"""p95 over p50 of the same work from which on a machine is busy. Seen idle: 1.09."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How idle the machine was; None is unknown."""

    other_cores: float | None
    """Cores' worth of time that other processes took of those that this one may use."""
    steal_share: float | None
    """Share of the cores' time that a hypervisor gave to other machines."""
    load_average: float | None
    """Of the last minute, this process included; not judged."""
    spread: float
    """p95 over p50 of the same work, repeated."""

    @property
    def busy(self) -> bool:
        """Whether other work made the figures worse."""
        return bool(self.reasons())

    def reasons(self) -> list[str]:
        """The signs of a busy machine, for people."""
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


class LoadWatch:
    """Watches from its construction to `conditions`."""

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        clock: Callable[[], float] = time.monotonic,
        own: Callable[[], float] = lambda: sum(os.times()[:4]),
    ) -> None:
        """`clock` returns seconds, `own` the CPU seconds of this process and its ended children."""
        self._root, self._clock, self._own = root, clock, own
        self._start = self._read()

    def conditions(self, *, spread: float) -> Conditions:
        """What was seen; `spread` is p95 over p50 of what was measured meanwhile."""
        pairs = zip(self._read(), self._start, strict=True)
        wall, own, busy, stolen = (now - before for now, before in pairs)
        known = wall > 0.0 and not math.isnan(busy)
        return Conditions(
            other_cores=max(0.0, busy - own) / wall if known else None,
            steal_share=stolen / (wall * len(usable_cpus())) if known else None,
            # Windows has no load average.
            load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            spread=spread,
        )

    def _read(self) -> tuple[float, float, float, float]:
        """Seconds: wall, this process's CPU, everybody's CPU on these cores (or NaN), stolen."""
        wanted = {f"cpu{core}" for core in usable_cpus()}
        lines = map(str.split, read_text(self._root / "proc/stat").splitlines())
        rows = [columns for name, *columns in lines if name in wanted]
        busy = stolen = math.nan
        if rows:
            # The columns that follow are the time of guests, which `user` and `nice` include.
            columns = list(zip(*rows, strict=True))[:8]
            user, nice, system, _idle, _disk, irq, soft_irq, steal = (
                sum(map(int, column)) for column in columns
            )
            ticks = os.sysconf("SC_CLK_TCK")
            busy, stolen = (user + nice + system + irq + soft_irq) / ticks, steal / ticks
        return self._clock(), self._own(), busy, stolen
