"""OpenCV's wheels and the cameras that give a frame. Without either everything but `webcam` works.

Cameras are looked for on Linux alone: elsewhere there is no list of them, and opening one to see
whether it is there may ask the user for permission.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mrnn_edge.errors import install_command
from mrnn_edge_cli.doctor.check import Area, Check, Status, info, ok
from mrnn_edge_cli.doctor.child import ask
from mrnn_edge_cli.doctor.wheels import mend, owners

SECONDS = 10.0
"""For a camera to open and give a frame."""


def checks(root: Path = Path("/")) -> Iterator[Check]:
    """The wheels, and each camera: a fault only where two wheels spoil each other."""
    wheels = owners("cv2", named="opencv")
    found = ", ".join(map(str, wheels))
    if len(wheels) > 1:
        yield Check(
            area=Area.CAMERA,
            name="cv2 wheels",
            status=Status.FAULT,
            found=f"{found}: each owns the module `cv2`, together they spoil it",
            advice=mend(
                wheels, f"{install_command('camera')}  (or [camera-headless], without a window)"
            ),
        )
    elif wheels:
        yield ok(Area.CAMERA, "cv2 wheels", found)
    else:
        advice = f"for cameras {install_command('camera')}"
        yield info(Area.CAMERA, "cv2 wheels", "none is installed", advice)
    yield from _cameras(root, has_cv2=bool(wheels))


def _cameras(root: Path, *, has_cv2: bool) -> Iterator[Check]:
    if not sys.platform.startswith("linux"):
        yield info(Area.CAMERA, "cameras", "not looked for on this system")
        return
    files = [path for path in (root / "dev").glob("video*") if _index(path).isdigit()]
    if not files:
        yield info(Area.CAMERA, "cameras", "no /dev/video*")
    for file in sorted(files, key=lambda path: int(_index(path))):
        yield _camera(root, file, has_cv2=has_cv2)


def _camera(root: Path, file: Path, *, has_cv2: bool) -> Check:
    name = f"/dev/{file.name}"
    described = root / "sys/class/video4linux" / file.name / "name"
    try:
        label = described.read_text(errors="replace").strip()
    except OSError:
        label = "a camera"
    if not os.access(file, os.R_OK | os.W_OK):
        return info(
            Area.CAMERA,
            name,
            f"{label}: no permission",
            "run: sudo usermod -aG video $USER, then log in again",
        )
    if not has_cv2:
        return info(Area.CAMERA, name, f"{label}: not tried without OpenCV")
    answer = ask("camera", _index(file), seconds=SECONDS)
    if answer.failure is not None:
        return info(
            Area.CAMERA, name, f"{label}: {answer.failure}", "close other programs that may hold it"
        )
    size = f"{answer.facts['width']} x {answer.facts['height']}"
    return ok(Area.CAMERA, name, f"{label}: {size}")


def _index(file: Path) -> str:
    return file.name.removeprefix("video")
