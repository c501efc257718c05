"""Where a caller wants graphs to run, and the cores of this process. Knows no runtime."""

import os
import re
from dataclasses import dataclass
from enum import StrEnum
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


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(usable_cpus())
