"""Where a caller wants graphs to run, and the cores of this process. Knows no runtime."""

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mrnn_edge.errors import OptionError

_REQUEST = re.compile(r"auto|cpu|cuda(:\d+)?")
_MIXED = "+cpu"


class DeviceKind(StrEnum):
    """Where graphs run."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class Device:
    """The execution device of a captioner's graphs."""

    kind: DeviceKind
    index: int = 0

    def __str__(self) -> str:
        return f"cuda:{self.index}" if self.kind is DeviceKind.CUDA else "cpu"


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
    """Where `cpu`, `cuda`, `cuda:N` or `cuda:N+cpu` puts graphs; None for `auto`.

    Raises OptionError.
    """
    mixed = request.startswith("cuda") and request.endswith(_MIXED)
    device = parse_device(request.removesuffix(_MIXED) if mixed else request)
    if device is None:
        return None
    return Placement(encoder=device, step=CPU if mixed else device)


def parse_device(request: str) -> Device | None:
    """The device that `cpu`, `cuda` or `cuda:N` names; None for `auto`. Raises OptionError."""
    if not _REQUEST.fullmatch(request):
        raise OptionError(f"device is {request!r}, expected auto, cpu, cuda or cuda:N")
    if request == "auto":
        return None
    kind, _, index = request.partition(":")
    return Device(kind=DeviceKind(kind), index=int(index or 0))


def usable_cores() -> int:
    """The cores that this process may use."""
    # The affinity mask is right inside containers and under taskset, the core count is not.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
