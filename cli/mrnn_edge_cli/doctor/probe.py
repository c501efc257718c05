"""What a process that child.py starts does: one thing that may hang or crash, its answer in JSON.

    python -m mrnn_edge_cli.doctor.probe device cuda:0
    python -m mrnn_edge_cli.doctor.probe model NAME_OR_FOLDER auto
    python -m mrnn_edge_cli.doctor.probe camera 0

A failure is an answer too: {"failure": "what; what to do"}, with "device": true where it is the
device's.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from mrnn_edge.errors import DeviceError, MrnnEdgeError


def runtime() -> dict[str, Any]:
    """Which ONNX Runtime is imported here."""
    from mrnn_edge.engine.runtime import TELEMETRY, import_runtime

    imported = import_runtime()
    return {
        "version": imported.__version__,
        "providers": list(imported.get_available_providers()),
        "telemetry": f"{TELEMETRY}={os.environ[TELEMETRY]}",
    }


def device(name: str) -> dict[str, Any]:
    """Run a graph of one addition on a device."""
    from mrnn_edge.engine.device import parse_device
    from mrnn_edge.engine.trial import try_device

    wanted = parse_device(name)
    if wanted is None:
        raise DeviceError(f"{name} is no one device; name cpu or cuda:N")
    return {"provider": try_device(wanted)}


def model(name: str, on: str) -> dict[str, Any]:
    """Load a model in each of its precisions and caption a grey picture with it.

    On a CUDA that is named in its own one there alone: int8 is not for CUDA (docs/runtime.md).
    """
    import numpy as np

    from mrnn_edge.bundle.folder import load_bundle
    from mrnn_edge.captioner import Captioner

    captions = {}
    where = ""
    for precision in (None,) if on.startswith("cuda") else load_bundle(name).config.precisions:
        captioner = Captioner.load(name, device=on, precision=precision)
        spec = captioner.config.image
        captions[str(captioner.precision)] = captioner.caption(
            np.full((spec.height, spec.width, 3), 127, np.uint8)
        ).text
        where = str(captioner.device)
    return {"captions": captions, "device": where}


def camera(index: str) -> dict[str, Any]:
    """Open a camera and read one frame."""
    from mrnn_edge.camera.capture import import_cv2

    cv2 = import_cv2()
    capture = cv2.VideoCapture(int(index))
    try:
        if not capture.isOpened():
            return {"failure": "does not open"}
        read, frame = capture.read()
    finally:
        capture.release()
    if not read:
        return {"failure": "opens, but gives no frame"}
    height, width = frame.shape[:2]
    return {"width": int(width), "height": int(height)}


_PROBES: dict[str, Callable[..., dict[str, Any]]] = {
    "runtime": runtime,
    "device": device,
    "model": model,
    "camera": camera,
}


def answer(name: str, arguments: list[str]) -> str:
    """The line of JSON that a probe gives."""
    try:
        facts = _PROBES[name](*arguments)
    except MrnnEdgeError as error:
        facts = {"failure": str(error), "device": isinstance(error, DeviceError)}
    except Exception as error:  # of native libraries, which have no base of their own
        facts = {"failure": f"{type(error).__name__}: {error}"}
    return json.dumps(facts)


if __name__ == "__main__":
    sys.stdout.write(f"\n{answer(sys.argv[1], sys.argv[2:])}\n")
