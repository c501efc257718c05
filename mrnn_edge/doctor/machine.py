"""This program, Python, the system, the processor and what this process may use of it.

Reads what Linux tells in files; elsewhere `platform` has to do. Takes the root of those files, so
that tests can bring their own.
"""

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mrnn_edge import __version__
from mrnn_edge.device import cgroups, cpu_quota, read_text, usable_cores, usable_cpus
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
    described = read_text(root / "proc/cpuinfo")
    name = _field(described, "model name") or platform.processor() or platform.machine()
    flags = (_field(described, "flags") or _field(described, "Features")).split()
    known = tuple(label for flag, label in FEATURES.items() if flag in flags)
    return Processor(name=name, features=known if described else None)


def board(root: Path = Path("/")) -> str:
    """`Raspberry Pi 5 Model B Rev 1.0` and the like; empty where none is told."""
    return read_text(root / "proc/device-tree/model").rstrip("\0")


def _processor(root: Path) -> str:
    found = processor(root)
    if found.features is None:
        return f"{found.name}, features not known"
    return f"{found.name}: {', '.join(found.features) or 'no feature that matters'}"


def _field(cpuinfo: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _cores(root: Path) -> Check:
    found = f"{len(usable_cpus())} of {os.cpu_count() or 1} usable"
    quota = cpu_quota(root)
    if quota is not None:
        used = usable_cores(root)
        threads = "thread" if used == 1 else "threads"
        found += f", a cgroup allows the time of {quota:g}; {used} {threads} by default"
    return _ok("cores", found)


def _memory(root: Path) -> Check:
    described = read_text(root / "proc/meminfo")
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


def _memory_limits(root: Path) -> Iterator[int]:
    for folder in cgroups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = read_text(folder / name)
            if limit.isdigit():
                yield int(limit)
