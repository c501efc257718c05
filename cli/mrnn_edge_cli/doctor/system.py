"""This program, Python, the system, the processor and what this process may use of it.

`root` is the folder of Linux's files, for tests; elsewhere `platform` is used.
"""

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from mrnn_edge import __version__
from mrnn_edge.machine import (
    board,
    cpu_quota,
    field,
    processor,
    read_text,
    usable_cores,
    usable_cpus,
)
from mrnn_edge_cli.doctor.check import Area, Check, info, ok


def checks(root: Path = Path("/")) -> Iterator[Check]:
    """Facts about the machine."""
    area = Area.INSTALLATION
    bits = 64 if sys.maxsize > 2**32 else 32
    python = f"{platform.python_implementation()} {platform.python_version()}, {bits} bit"
    libc = " ".join(filter(None, platform.libc_ver()))
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield ok(area, "mrnn-edge", __version__)
    yield ok(area, "python", python)
    yield ok(area, "system", ", ".join(filter(None, (system, libc, board(root)))))
    found = processor(root)
    features = ", ".join(found.features or ()) or "no feature that matters"
    known = "features not known" if found.features is None else features
    yield ok(area, "processor", f"{found.name}: {known}")
    yield ok(area, "cores", _cores(root))
    yield _memory(root)


def _cores(root: Path) -> str:
    found = f"{len(usable_cpus())} of {os.cpu_count() or 1} usable"
    quota = cpu_quota(root)
    if quota is not None:
        used = usable_cores(root)
        threads = "thread" if used == 1 else "threads"
        found += f", a cgroup allows the time of {quota:g}; {used} {threads} by default"
    return found


def _memory(root: Path) -> Check:
    described = read_text(root / "proc/meminfo")
    sizes = [field(described, name).split() for name in ("MemTotal", "MemAvailable")]
    if not all(sizes):
        return info(Area.INSTALLATION, "memory", "unknown")
    total, free = (f"{int(kib) / 2**20:.1f} GiB" for kib, *_ in sizes)
    return ok(Area.INSTALLATION, "memory", f"{total}, {free} available")
