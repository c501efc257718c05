"""This machine: its processor, and the cores that this process may use.

Reads Linux's files, elsewhere uses `platform`. `root` is the folder of those files, for tests.
"""

import contextlib
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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


@dataclass(frozen=True, kw_only=True)
class Processor:
    """The name of the processor, and which of FEATURES it has."""

    name: str
    features: tuple[str, ...] | None
    """None if unknown."""


def processor(root: Path = Path("/")) -> Processor:
    """The processor of this machine."""
    described = read_text(root / "proc/cpuinfo")
    name = field(described, "model name") or platform.processor() or platform.machine()
    flags = (field(described, "flags") or field(described, "Features")).split()
    known = tuple(label for flag, label in FEATURES.items() if flag in flags)
    return Processor(name=name, features=known if described else None)


def board(root: Path = Path("/")) -> str:
    """`Raspberry Pi 5 Model B Rev 1.0` and the like; empty if unknown."""
    return read_text(root / "proc/device-tree/model").rstrip("\0")


def field(text: str, name: str) -> str:
    """The value of `name : value` in a file of /proc, or empty."""
    found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def usable_cpus() -> set[int]:
    """The numbers of the cores that this process may use."""
    # The affinity mask is right inside containers and under taskset, the core count is not.
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def usable_cores(root: Path = Path("/")) -> int:
    """How many cores this process may use: the smaller of its affinity and its cgroups' quota.

    A container with `--cpus 1` on a large host has the affinity of all cores and the time of one:
    more threads than that wait for each other. `root` is where /proc and /sys are.
    """
    quota = cpu_quota(root)
    cores = len(usable_cpus())
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The CPU time that the tightest cgroup allows, in cores; None where none limits it."""
    found = []
    for folder in cgroups(root, "cpu"):
        # Version 2 has both numbers in one file, version 1 each in its own.
        quota, _, period = read_text(folder / "cpu.max").partition(" ")
        quota = quota or read_text(folder / "cpu.cfs_quota_us")
        period = period or read_text(folder / "cpu.cfs_period_us")
        with contextlib.suppress(ValueError, ArithmeticError):  # "max", -1, or damaged
            if int(quota) > 0:
                found.append(int(quota) / int(period))
    return min(found, default=None)


def cgroups(root: Path, controller: str) -> Iterator[Path]:
    """This process's cgroups of a controller, each with those above it, both versions."""
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        # Version 1 mounts `cpu,cpuacct` under this name, in another order, or as `cpu` alone.
        for name in dict.fromkeys((controllers, controller if controllers else "")):
            mount = root / "sys/fs/cgroup" / name
            group = mount / path.lstrip("/")
            # In a container the path may be the host's, of which the mount shows only the end.
            yield from (each for each in (group, *group.parents) if each.is_relative_to(mount))


def read_text(path: Path) -> str:
    """The text of a file of /proc or /sys; empty if unreadable."""
    try:
        return path.read_text(errors="replace").strip()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return ""
