"""Every check of this machine, the most basic ones first; one that fails never hides the others."""

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from mrnn_edge.engine.device import parse_device
from mrnn_edge_cli.doctor.check import Area, Check, Status


def examine(
    model: str | os.PathLike[str] | None = None, *, device: str = "auto"
) -> Iterator[Check]:
    """Check this machine, the most basic things first, and a model; None is every shipped one.

    `device` is `auto`, where the absence of CUDA is no fault, or one that must work. Raises
    OptionError for an unknown device.
    """
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
