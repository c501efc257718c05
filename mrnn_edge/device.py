"""Where a caller wants graphs to run, and the cores of this process. Knows no runtime."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from mrnn_edge.errors import OptionError

_REQUEST = re.compile(
    r"auto|cpu|(?P<cuda>cuda(:(?P<index>\d+))?)(?P<captured>\+graphs)?(?P<mixed>\+cpu)?"
)
_CAPTURED = "+graphs"
_MIXED = "+cpu"


class DeviceKind(StrEnum):
    """Where graphs run."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class Device:
    """The execution device of a captioner's graphs.

    Raises ValueError for a CPU with the number or the graphs of CUDA.
    """

    kind: DeviceKind
    index: int = 0
    captured: bool = False
    """Of CUDA: kernels are launched as CUDA graphs, not one by one (captured.py)."""

    def __post_init__(self) -> None:
        if self.kind is DeviceKind.CPU and (self.index or self.captured):
            raise ValueError("only CUDA has device numbers and graphs")

    def __str__(self) -> str:
        if self.kind is DeviceKind.CPU:
            return "cpu"
        return f"cuda:{self.index}" + (_CAPTURED if self.captured else "")


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the two graphs of a model run."""

    encoder: Device
    step: Device

    def __str__(self) -> str:
        """As `parse_placement` reads it: `cpu`, `cuda:0`; `cuda:0+cpu` is the step on the CPU."""
        return str(self.encoder) + ("" if self.step == self.encoder else _MIXED)


CPU: Final = Device(kind=DeviceKind.CPU)
ON_CPU: Final = Placement(encoder=CPU, step=CPU)


def parse_placement(request: str) -> Placement | None:
    """Where `cpu`, `cuda` or `cuda:N` puts graphs; None for `auto`.

    Behind CUDA `+graphs` is for CUDA graphs, then `+cpu` for the step on the CPU. Raises
    OptionError.
    """
    found = _REQUEST.fullmatch(request)
    if not found:
        raise OptionError(
            f"device is {request!r}, expected auto, cpu, cuda, cuda:N, cuda:N+cpu, the step on "
            "the CPU, or cuda:N+graphs, as CUDA graphs"
        )
    if request == "auto":
        return None
    device = CPU
    if found["cuda"]:
        device = Device(
            kind=DeviceKind.CUDA, index=int(found["index"] or 0), captured=bool(found["captured"])
        )
    return Placement(encoder=device, step=CPU if found["mixed"] else device)


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
