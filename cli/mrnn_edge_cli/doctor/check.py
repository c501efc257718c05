"""What a check is, and all of them: one that fails never hides the others."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import import_module
from typing import Any

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


def examine(
    model: str | os.PathLike[str] | None = None, *, device: str = "auto"
) -> Iterator[Check]:
    """Check this machine, the most basic things first, and a model; None is every shipped one.

    `device` is `auto`, where the absence of CUDA is no fault, or one that must work. Raises
    OptionError for an unknown device.
    """
    from mrnn_edge.engine.device import parse_device

    named = None if model is None else os.fspath(model)
    wanted = parse_device(device)
    return _isolated(
        (
            (Area.INSTALLATION, "machine", "system", ()),
            (Area.INSTALLATION, "packages", "packages", ()),
            (Area.DEVICE, "devices", "devices", (wanted,)),
            (Area.MODEL, "models", "models", (named, wanted)),
            (Area.CAMERA, "cameras", "cameras", ()),
        )
    )


def _isolated(groups: Iterable[tuple[Area, str, str, tuple[Any, ...]]]) -> Iterator[Check]:
    for area, name, file, arguments in groups:
        try:
            # Imported here: a numpy that cannot be imported is a finding.
            module = import_module(f"mrnn_edge_cli.doctor.{file}")
            for check in module.checks(*arguments):
                yield check.tidied()
        except Exception as error:  # one that explodes must not hide the others
            yield Check(
                area=area,
                name=name,
                status=Status.FAULT,
                found=f"the check itself failed: {type(error).__name__}: {error}",
                advice="report this with the lines above and below",
            ).tidied()
