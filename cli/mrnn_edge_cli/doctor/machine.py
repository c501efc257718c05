"""This program, Python, the system, the processor and what this process may use of it.

Reads the files of Linux; elsewhere uses `platform`. Takes the root of those files, so
that tests can bring their own.
"""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from mrnn_edge import __version__
from mrnn_edge.machine import (
    board,
    cgroups,
    cpu_quota,
    field,
    processor,
    read_text,
    usable_cores,
    usable_cpus,
)
from mrnn_edge_cli.doctor.check import Area, Check, info, ok


def checks(root: Path = Path("/")) -> Iterator[Check]:
    """Facts about the machine; a limit that lies below what the machine shows comes with advice."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield ok(Area.INSTALLATION, "mrnn-edge", __version__)
    yield ok(Area.INSTALLATION, "python", f"{python}, {_bits()} bit")
    libc = " ".join(filter(None, platform.libc_ver()))
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield ok(Area.INSTALLATION, "system", ", ".join(filter(None, (system, libc, board(root)))))
    yield ok(Area.INSTALLATION, "processor", _processor(root))
    yield _cores(root)
    yield _memory(root)


def _bits() -> int:
    return 64 if platform.architecture()[0].startswith("64") else 32


def _processor(root: Path) -> str:
    found = processor(root)
    if found.features is None:
        return f"{found.name}, features not known"
    return f"{found.name}: {', '.join(found.features) or 'no feature that matters'}"


def _cores(root: Path) -> Check:
    found = f"{len(usable_cpus())} of {os.cpu_count() or 1} usable"
    quota = cpu_quota(root)
    if quota is not None:
        used = usable_cores(root)
        threads = "thread" if used == 1 else "threads"
        found += f", a cgroup allows the time of {quota:g}; {used} {threads} by default"
    return ok(Area.INSTALLATION, "cores", found)


def _memory(root: Path) -> Check:
    described = read_text(root / "proc/meminfo")
    total, free = field(described, "MemTotal"), field(described, "MemAvailable")
    if not total or not free:
        return info(Area.INSTALLATION, "memory", "unknown")
    found = f"{_gib(_kib(total))}, {_gib(_kib(free))} available"
    limits = [each for each in _memory_limits(root) if each < _kib(total)]
    if limits:
        found += f", a cgroup allows {_gib(min(limits))}"
    return ok(Area.INSTALLATION, "memory", found)


def _kib(field: str) -> int:
    """`1024 kB` of /proc/meminfo, in bytes."""
    return int(field.split()[0]) * 1024


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _memory_limits(root: Path) -> Iterator[int]:
    for folder in cgroups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = read_text(folder / name)
            if limit.isdigit():
                yield int(limit)
