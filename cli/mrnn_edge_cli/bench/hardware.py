"""The machine in a few words, and the cores that a run is pinned to."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mrnn_edge.machine import board, processor, usable_cores


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What times depend on. Two machines are the same where `cpu`, `cores` and `system` are."""

    cpu: str
    features: tuple[str, ...] | None
    """Instructions that matter for graphs, as AVX2, VNNI, dotprod; None: unknown."""
    board: str
    """`Raspberry Pi 5 Model B Rev 1.0` and the like; empty if unknown."""
    cores: int
    """The cores that this process may use before it is pinned."""
    system: str
    """`Linux x86_64` and the like."""
    release: str
    """The kernel's version; another one is no other machine."""

    @classmethod
    def here(cls, root: Path = Path("/")) -> "Machine":
        """This one; `root` is where Linux's files are."""
        found = processor(root)
        return cls(
            cpu=found.name,
            features=found.features,
            board=board(root),
            cores=usable_cores(),
            system=f"{platform.system()} {platform.machine()}",
            release=platform.release(),
        )


@contextmanager
def pinned(threads: int | None) -> Iterator[tuple[int, ...] | None]:
    """Pin this process and its children to as many cores as there are threads; yield the cores.

    A run with fewer threads than cores is then not moved between cores. With `threads` None all
    cores stay. Yields None where the system has no affinity.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = sorted(os.sched_getaffinity(0))
    cores = before[: threads or len(before)]
    os.sched_setaffinity(0, cores)
    try:
        yield tuple(cores)
    finally:
        os.sched_setaffinity(0, before)
