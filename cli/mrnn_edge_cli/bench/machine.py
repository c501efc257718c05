"""The machine in a few words, and the cores that a run is kept to."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
    """The cores that this process may use before a run is kept to some of them."""
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

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        features = None if self.features is None else list(self.features)
        return {**asdict(self), "features": features}


@contextmanager
def kept_to(threads: int | None) -> Iterator[tuple[int, ...] | None]:
    """Inside it this process, its threads and children stay on as many cores as there are threads.

    So a run with fewer threads than cores is not moved about between them. Gives the cores; None
    if the system does not say. With `threads` None or beyond the cores, all of them as before.
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
