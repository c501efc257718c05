"""Whether a device works: a graph of one addition is run on it."""

from typing import Final

import numpy as np

from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.engine.device import Device
from mrnn_edge.engine.runtime import import_runtime, new_session
from mrnn_edge.engine.session import first_line
from mrnn_edge.errors import DeviceError

_ADDITION: Final = bytes.fromhex(
    "08083a420a160a047465726d0a047465726d120373756d22034164641201675a120a047465726d120a0a080801"
    "12040a02080162110a0373756d120a0a08080112040a02080142040a001011"
)
"""A graph of one node, `sum = term + term`, float32 [1]; opset 17, IR 8: old enough for all."""


def try_device(device: Device) -> str:
    """Run a graph of one addition on a device; return the provider that ran it.

    Raises DeviceError where the device cannot be used, or adds wrongly.
    """
    runtime = import_runtime()
    try:
        session = new_session(runtime, device, _ADDITION, GraphRole.STEP, 1)
        (found,) = session.run(["sum"], {"term": np.array([21.0], np.float32)})
    except DeviceError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise DeviceError(
            f"{device} does not add two numbers ({first_line(error)}); reinstall onnxruntime"
        ) from error
    if found.tolist() != [42.0]:
        raise DeviceError(
            f"{device} answers {found.tolist()} to 21 + 21; check its driver, reinstall onnxruntime"
        )
    return str(session.get_providers()[0])
