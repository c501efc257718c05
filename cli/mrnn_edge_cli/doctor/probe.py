"""What a process that child.py starts does: one thing that may hang or crash, its answer in JSON.

    python -m mrnn_edge_cli.doctor.probe device cuda:0

A failure is an answer too: {"failure": "what; what to do"}, with "is_of_device": true if the device
failed.
"""

import json
import os
import sys
from typing import Any

from mrnn_edge.errors import DeviceError, MrnnEdgeError


def runtime() -> dict[str, Any]:
    """Which ONNX Runtime is imported here."""
    from mrnn_edge.engine.runtime import TELEMETRY, import_runtime

    imported = import_runtime()
    providers = list(imported.get_available_providers())
    telemetry = f"{TELEMETRY}={os.environ[TELEMETRY]}"
    return {"version": imported.__version__, "providers": providers, "telemetry": telemetry}


def device(name: str) -> dict[str, Any]:
    """Run a graph of one addition on a device, cpu or cuda:N."""
    from mrnn_edge.engine.device import CPU, parse_device
    from mrnn_edge.engine.trial import try_device

    return {"provider": try_device(parse_device(name) or CPU)}


def model(name: str, on: str) -> dict[str, Any]:
    """Load a model in each of its precisions and caption a grey picture with it.

    On CUDA in its default precision alone: int8 is not for CUDA (docs/runtime.md).
    """
    import numpy as np

    from mrnn_edge.bundle.folder import load_bundle
    from mrnn_edge.captioner import Captioner

    captions = {}
    where = ""
    for precision in (None,) if on.startswith("cuda") else load_bundle(name).config.precisions:
        captioner = Captioner.load(name, device=on, precision=precision)
        image = captioner.config.image
        grey = np.full((image.height, image.width, 3), 127, np.uint8)
        captions[str(captioner.precision)] = captioner.caption(grey).text
        where = str(captioner.device)
    return {"captions": captions, "device": where}


def camera(index: str) -> dict[str, Any]:
    """Open a camera and read one frame."""
    from mrnn_edge.camera.capture import import_cv2

    capture = import_cv2().VideoCapture(int(index))
    if not capture.isOpened():
        return {"failure": "does not open"}
    read, frame = capture.read()
    capture.release()
    if not read:
        return {"failure": "opens, but gives no frame"}
    height, width = frame.shape[:2]
    return {"width": int(width), "height": int(height)}


def window() -> dict[str, Any]:
    """Open a window and close it."""
    from mrnn_edge.camera.capture import import_cv2

    cv2 = import_cv2()
    cv2.namedWindow("mrnn-edge", cv2.WINDOW_NORMAL)
    cv2.waitKey(1)
    cv2.destroyAllWindows()
    return {}


_PROBES = {each.__name__: each for each in (runtime, device, model, camera, window)}


def answer(name: str, arguments: list[str]) -> str:
    """The answer of a probe, as a line of JSON."""
    try:
        facts: dict[str, Any] = _PROBES[name](*arguments)
    except MrnnEdgeError as error:
        facts = {"failure": str(error), "is_of_device": isinstance(error, DeviceError)}
    except Exception as error:  # of native libraries, which have no base of their own
        facts = {"failure": f"{type(error).__name__}: {error}"}
    return json.dumps(facts)


if __name__ == "__main__":
    sys.stdout.write(f"\n{answer(sys.argv[1], sys.argv[2:])}\n")
