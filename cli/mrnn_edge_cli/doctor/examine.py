"""Every check of this machine, the most basic ones first; one that fails never hides the others."""

import os
from collections.abc import Callable, Iterator

from mrnn_edge.engine.device import Device, parse_device
from mrnn_edge_cli.doctor.check import Area, Check, Status

_Checks = Callable[[], Iterator[Check]]


def examine(
    model: str | os.PathLike[str] | None = None, *, device: str = "auto"
) -> Iterator[Check]:
    """Check this machine, the most basic things first, and a model; None is every shipped one.

    `device` is `auto`, where the absence of CUDA is no fault, or one that must work. Raises
    OptionError for an unknown device.
    """
    named = None if model is None else os.fspath(model)
    return _isolated(_groups(named, parse_device(device)))


def _groups(model: str | None, device: Device | None) -> tuple[tuple[Area, str, _Checks], ...]:
    # Each imports what it needs when it runs: a numpy that cannot be imported is a finding.
    def machine() -> Iterator[Check]:
        from mrnn_edge_cli.doctor import machine

        return machine.checks()

    def packages() -> Iterator[Check]:
        from mrnn_edge_cli.doctor import packages

        return packages.checks()

    def devices() -> Iterator[Check]:
        from mrnn_edge_cli.doctor import devices

        return devices.checks(device)

    def models() -> Iterator[Check]:
        from mrnn_edge_cli.doctor import models

        return models.checks(model, device)

    def cameras() -> Iterator[Check]:
        from mrnn_edge_cli.doctor import cameras

        return cameras.checks()

    return (
        (Area.INSTALLATION, "machine", machine),
        (Area.INSTALLATION, "packages", packages),
        (Area.DEVICE, "devices", devices),
        (Area.MODEL, "models", models),
        (Area.CAMERA, "cameras", cameras),
    )


def _isolated(groups: tuple[tuple[Area, str, _Checks], ...]) -> Iterator[Check]:
    for area, name, checks in groups:
        try:
            for check in checks():
                yield check.tidied()
        except Exception as error:  # one that explodes must not hide the others
            yield Check(
                area=area,
                name=name,
                status=Status.FAULT,
                found=f"the check itself failed: {type(error).__name__}: {error}",
                advice="report this with the lines above and below",
            ).tidied()
