"""Joules that the processor's packages took, where Linux tells: RAPL in /sys/class/powercap.

Intel's counters, which AMD fills too; readable by root alone on most systems since CVE-2020-8694.
Takes the root of the files, so that tests can bring their own.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ZONE: Final = re.compile(r"intel-rapl:\d+")
"""A whole package; `intel-rapl:0:0` is a part of one, `intel-rapl-mmio:0` the same one again."""


@dataclass(frozen=True)
class _Counter:
    file: Path
    range_uj: int
    """Microjoules after which it begins at zero again."""


class EnergyMeter:
    """Joules since it was made."""

    def __init__(self, counters: tuple[_Counter, ...]) -> None:
        """Counts from now on. Raises OSError or ValueError for a counter that cannot be read."""
        self._counters = counters
        self._start = self._read()

    @classmethod
    def begun(cls, root: Path = Path("/")) -> "EnergyMeter | None":
        """A meter of every package, or None where the machine tells nothing."""
        try:
            counters = tuple(_counters(root))
            return cls(counters) if counters else None
        except (OSError, ValueError):
            return None

    def joules(self) -> float:
        """Of all packages together. A counter that began anew once is seen through."""
        spent = 0
        for counter, before, now in zip(self._counters, self._start, self._read(), strict=True):
            spent += now - before if now >= before else now - before + counter.range_uj
        return spent / 1e6

    def _read(self) -> list[int]:
        return [int(counter.file.read_text()) for counter in self._counters]


def _counters(root: Path) -> list[_Counter]:
    found = []
    for zone in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        # `psys` is the whole board, the packages in it.
        if _ZONE.fullmatch(zone.name) and (zone / "name").read_text().startswith("package"):
            range_uj = int((zone / "max_energy_range_uj").read_text())
            found.append(_Counter(zone / "energy_uj", range_uj))
    return found
