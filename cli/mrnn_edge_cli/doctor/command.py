"""`mrnn-edge doctor`: what is right and wrong on this machine, to paste into a report."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.output import one_line, write, write_json

if TYPE_CHECKING:
    from mrnn_edge_cli.doctor.check import Check

_WIDTH = 18
"""Of the longest name, except models in folders of the user."""


def doctor(
    model: opt.Model = None,
    device: opt.Device = "auto",
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Check this machine, and print the commands that repair what is wrong.

    Checks versions, processor, ONNX Runtime, devices, models and cameras. A missing CUDA, camera or
    OpenCV is no fault, unless --device requests CUDA. The exit code is that of the first fault.
    """
    del quiet  # nothing goes to stderr anyway
    from mrnn_edge_cli.doctor.check import Area, Status, examine

    codes = {
        Area.INSTALLATION: ExitCode.INTERNAL,
        Area.DEVICE: ExitCode.DEVICE,
        Area.MODEL: ExitCode.MODEL,
        Area.CAMERA: ExitCode.CAMERA,
    }
    checks = []
    for check in examine(model, device=device):
        checks.append(check)
        if not json:
            # At once: if a later check ends this process, the earlier ones are printed.
            for line in _lines(check):
                write(line)
    faults = [check for check in checks if check.status is Status.FAULT]
    code = codes[faults[0].area] if faults else ExitCode.DONE
    if json:
        write_json({"exit_code": int(code), "checks": [asdict(check) for check in checks]})
    raise typer.Exit(code)


def _lines(check: "Check") -> list[str]:
    status = "FAULT" if check.status == "fault" else check.status
    lines = [f"{status:<5}  {check.name:<{_WIDTH}}  {one_line(check.found)}"]
    for step in (check.advice or "").splitlines():
        lines.append(f"{'':5}  {'':{_WIDTH}}  -> {step}")
    return lines
