"""The device that graphs run on, and how it is requested. Knows no runtime."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mrnn_edge.errors import OptionError

_REQUEST = re.compile(r"auto|cpu|cuda(:(?P<index>\d+))?")


class DeviceKind(StrEnum):
    """Where graphs run."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where both graphs of a model run."""

    kind: DeviceKind
    index: int = 0

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
