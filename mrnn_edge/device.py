"""Where a caller wants graphs to run, and the cores of this process. Knows no runtime."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from mrnn_edge.errors import OptionError

_REQUEST = re.compile(r"auto|cpu|cuda(:(?P<index>\d+))?")


class DeviceKind(StrEnum):
    """Where graphs run."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where both graphs of a model run. Raises ValueError for a CPU with a number."""

    kind: DeviceKind
    index: int = 0

    def __post_init__(self) -> None:
        if self.kind is DeviceKind.CPU and self.index:
            raise ValueError("only CUDA has device numbers")

    def __str__(self) -> str:
        """As `parse_device` reads it: `cpu`, `cuda:0`."""
        return "cpu" if self.kind is DeviceKind.CPU else f"cuda:{self.index}"


CPU: Final = Device(kind=DeviceKind.CPU)
CUDA: Final = Device(kind=DeviceKind.CUDA)
"""The first of them, which `auto` tries."""


def parse_device(request: str) -> Device | None:
    """The device that `cpu`, `cuda` or `cuda:N` names; None for `auto`. Raises OptionError."""
    found = _REQUEST.fullmatch(request)
    if not found:
        raise OptionError(f"device is {request!r}, expected auto, cpu, cuda or cuda:N")
    if request == "auto":
        return None
    return CPU if request == "cpu" else Device(kind=DeviceKind.CUDA, index=int(found["index"] or 0))


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
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def cgroups(root: Path, controller: str) -> Iterator[Path]:
    """This process's cgroups of a controller, each with those above it, both versions."""
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        group = mount / path.lstrip("/")
        # In a container the path may be the host's, of which the mount shows the end alone.
        yield from (each for each in (group, *group.parents) if each.is_relative_to(mount))


def read_text(path: Path) -> str:
    """What a file of /proc or /sys says; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
