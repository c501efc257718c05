"""OpenCV's wheels and the cameras that give a frame. Without either everything but `webcam` works.

Cameras are looked for on Linux alone: elsewhere there is no list of them, and opening one may ask
the user for permission.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mrnn_edge.errors import install_command
from mrnn_edge.machine import read_text
from mrnn_edge_cli.doctor.check import Area, Check, info, ok
from mrnn_edge_cli.doctor.child import ask
from mrnn_edge_cli.doctor.packages import check_wheels, owners

SECONDS = 10.0
"""For a camera to open and give a frame."""


def checks(root: Path = Path("/")) -> Iterator[Check]:
    """The wheels, and each camera: a fault only where two wheels spoil each other."""
    wheels = owners("cv2")
    install = install_command("camera")
    either = f"{install}  (or [camera-headless], without a window)"
    yield check_wheels(Area.CAMERA, "cv2", wheels, either, f"for cameras {install}")
    if not sys.platform.startswith("linux"):
        yield info(Area.CAMERA, "cameras", "not looked for on this system")
        return
    files = [path for path in (root / "dev").glob("video*") if path.name[5:].isdigit()]
    if not files:
        yield info(Area.CAMERA, "cameras", "no /dev/video*")
    for file in sorted(files, key=lambda path: int(path.name[5:])):
        label = read_text(root / "sys/class/video4linux" / file.name / "name") or "a camera"
        yield _camera(file, label, has_cv2=bool(wheels))


def _camera(file: Path, label: str, *, has_cv2: bool) -> Check:
    name = f"/dev/{file.name}"
    if not os.access(file, os.R_OK | os.W_OK):
        advice = "run: sudo usermod -aG video $USER, then log in again"
        return info(Area.CAMERA, name, f"{label}: no permission", advice)
    if not has_cv2:
        return info(Area.CAMERA, name, f"{label}: not tried without OpenCV")
    answer = ask("camera", file.name[5:], seconds=SECONDS)
    if "failure" in answer:
        advice = "close other programs that may hold it"
        return info(Area.CAMERA, name, f"{label}: {answer['failure']}", advice)
    return ok(Area.CAMERA, name, f"{label}: {answer['width']} x {answer['height']}")
