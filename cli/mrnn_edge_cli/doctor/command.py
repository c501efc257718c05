"""`mrnn-edge doctor`: what is right and wrong on this machine, to paste into a report."""

from typing import TYPE_CHECKING

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.arguments import Exit
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.output import one_line, write, write_json

if TYPE_CHECKING:
    from mrnn_edge_cli.doctor import Check

_WIDTH = 18
"""Of the longest name but for models in folders of one's own."""


def doctor(
    model: opt.Model = None,
    device: opt.Device = "auto",
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Tell what is wrong on this machine, with the commands that mend it.

    Looks at versions, processor, ONNX Runtime, devices, models and cameras. No CUDA, no camera and
    no OpenCV are information, unless --device asks for CUDA. The exit code is that of the first
    fault.
    """
    del quiet  # it says nothing on stderr in any case
    from mrnn_edge_cli.doctor import Area, Status, examine

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
            # As it comes: should one of them end this process, the others stand there.
            for line in _lines(check):
                write(line)
    faults = [check for check in checks if check.status is Status.FAULT]
    code = codes[faults[0].area] if faults else ExitCode.DONE
    if json:
        write_json({"exit_code": int(code), "checks": [check.to_dict() for check in checks]})
    raise Exit(code)


def _lines(check: "Check") -> list[str]:
    status = "FAULT" if check.status == "fault" else check.status
    lines = [f"{status:<5}  {check.name:<{_WIDTH}}  {one_line(check.found)}"]
    for step in (check.advice or "").splitlines():
        lines.append(f"{'':5}  {'':{_WIDTH}}  -> {step}")
    return lines
