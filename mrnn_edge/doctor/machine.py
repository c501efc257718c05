"""This program, Python, the system, the processor and what this process may use of it.

Reads what Linux tells in files; elsewhere `platform` has to do. Takes the root of those files, so
that tests can bring their own.
"""

import math
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mrnn_edge import __version__
from mrnn_edge.device import usable_cores
from mrnn_edge.doctor.check import Area, Check, Status

FEATURES: Final = {
    # x86: what ONNX Runtime's kernels are chosen by
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 bf16",
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX bf16",
    # 64-bit ARM
    "asimd": "NEON",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "SVE",
    # 32-bit ARM
    "neon": "NEON",
}
"""Flags of /proc/cpuinfo that matter for the speed of a graph, and what people call them."""


def checks(root: Path = Path("/")) -> Iterator[Check]:
    """Facts about the machine; a limit that lies below what the machine shows comes with advice."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield _ok("mrnn-edge", __version__)
    yield _ok("python", f"{python}, {_bits()} bit")
    libc = " ".join(filter(None, platform.libc_ver()))
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield _ok("system", ", ".join(filter(None, (system, libc, board(root)))))
    yield _ok("processor", _processor(root))
    yield _cores(root)
    yield _memory(root)


def _ok(name: str, found: str) -> Check:
    return Check(area=Area.INSTALLATION, name=name, status=Status.OK, found=found)


def _bits() -> int:
    return 64 if platform.architecture()[0].startswith("64") else 32


@dataclass(frozen=True, kw_only=True)
class Processor:
    """What the processor is called, and which of FEATURES it has."""

    name: str
    features: tuple[str, ...] | None
    """None where the system does not tell."""


def processor(root: Path = Path("/")) -> Processor:
    """The processor of this machine."""
    described = _text(root / "proc/cpuinfo")
    name = _field(described, "model name") or platform.processor() or platform.machine()
    flags = (_field(described, "flags") or _field(described, "Features")).split()
    known = tuple(label for flag, label in FEATURES.items() if flag in flags)
    return Processor(name=name, features=known if described else None)


def board(root: Path = Path("/")) -> str:
    """`Raspberry Pi 5 Model B Rev 1.0` and the like; empty where none is told."""
    return _text(root / "proc/device-tree/model").rstrip("\0")


def _processor(root: Path) -> str:
    found = processor(root)
    if found.features is None:
        return f"{found.name}, features not known"
    return f"{found.name}: {', '.join(found.features) or 'no feature that matters'}"


def _field(cpuinfo: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _cores(root: Path) -> Check:
    usable, there = usable_cores(), os.cpu_count() or 1
    found = f"{usable} of {there} usable"
    quota = _cpu_quota(root)
    if quota is None:
        return _ok("cores", found)
    found += f", a cgroup allows the time of {quota:g}"
    if quota >= usable:
        return _ok("cores", found)
    return Check(
        area=Area.INSTALLATION,
        name="cores",
        status=Status.INFO,
        found=found,
        advice=f"give --threads {max(1, math.floor(quota))}: more threads wait for each other",
    )


def _memory(root: Path) -> Check:
    described = _text(root / "proc/meminfo")
    total, free = _field(described, "MemTotal"), _field(described, "MemAvailable")
    if not total or not free:
        return Check(
            area=Area.INSTALLATION, name="memory", status=Status.INFO, found="not known here"
        )
    found = f"{_gib(_kib(total))}, {_gib(_kib(free))} available"
    limits = [each for each in _memory_limits(root) if each < _kib(total)]
    if limits:
        found += f", a cgroup allows {_gib(min(limits))}"
    return _ok("memory", found)


def _kib(field: str) -> int:
    """`1024 kB` of /proc/meminfo, in bytes."""
    return int(field.split()[0]) * 1024


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _cpu_quota(root: Path) -> float | None:
    """The processors' time that the tightest cgroup allows, in cores; None where none limits it."""
    found = []
    for folder in _cgroups(root, "cpu"):
        # Version 2 has both numbers in one file, version 1 each in its own.
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        quota = quota or _text(folder / "cpu.cfs_quota_us")
        period = period or _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def _memory_limits(root: Path) -> Iterator[int]:
    for folder in _cgroups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _text(folder / name)
            if limit.isdigit():
                yield int(limit)


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """This process's cgroups of a controller, each with those above it, both versions."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        group = mount / path.lstrip("/")
        # In a container the path may be the host's, of which the mount shows the end alone.
        yield from (each for each in (group, *group.parents) if each.is_relative_to(mount))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
