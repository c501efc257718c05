"""What a check is."""

import os
from dataclasses import dataclass, replace
from enum import StrEnum

from mrnn_edge.errors import MrnnEdgeError


class Area(StrEnum):
    """What a fault is about; the command makes exit codes of it."""

    INSTALLATION = "installation"
    DEVICE = "device"
    MODEL = "model"
    CAMERA = "camera"


class Status(StrEnum):
    """The result of a check."""

    OK = "ok"
    INFO = "info"
    """Something is absent or limited that captions can do without."""
    FAULT = "fault"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was checked."""

    area: Area
    name: str
    status: Status
    found: str
    """What is there, in one line."""
    advice: str | None = None
    """What to do, one step per line."""

    def tidied(self) -> "Check":
        """The same in one line, with `~` for the home folder, whose path holds the user's name."""
        home = os.path.expanduser("~")
        hidden = home if len(home) > 1 else "~"
        advice = self.advice and self.advice.replace(hidden, "~")
        return replace(self, found=" ".join(self.found.replace(hidden, "~").split()), advice=advice)


def ok(area: Area, name: str, found: str) -> Check:
    """A check that passed."""
    return Check(area=area, name=name, status=Status.OK, found=found)


def info(area: Area, name: str, found: str, advice: str | None = None) -> Check:
    """Something absent or limited that captions do not need."""
    return Check(area=area, name=name, status=Status.INFO, found=found, advice=advice)


def fault(area: Area, name: str, error: MrnnEdgeError | str) -> Check:
    """An error as a fault; the text after its last semicolon is the advice."""
    found, _, advice = str(error).rpartition("; ")
    if not found:
        found, advice = advice, ""
    return Check(area=area, name=name, status=Status.FAULT, found=found, advice=advice or None)
