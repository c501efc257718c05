"""Sessions on CUDA: on the requested device, or refused with the loader's own reason.

Takes ONNX Runtime as a module, a device and a function that makes a session. Imported only where
CUDA is requested.
"""

import contextlib
import io
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import numpy as np

from mrnn_edge.engine.device import Device
from mrnn_edge.engine.graphs import Signature
from mrnn_edge.engine.session import CUDA_PROVIDER, Session, first_line
from mrnn_edge.errors import DeviceError, install_command

_WARNINGS, _FATAL = 2, 4
"""Severities of ONNX Runtime's log: its default, and the one that writes nothing."""
_DTYPES: Final = {"uint8": np.uint8, "int64": np.int64, "float": np.float32}
"""Of the inputs of graphs, as ONNX Runtime calls them."""


def cuda_session(runtime: ModuleType, device: Device, make: Callable[..., Any]) -> Any:
    """A session on the device; `make(provider, severity=, setting=)` makes it.

    Raises DeviceError where the device cannot be used.
    """
    if CUDA_PROVIDER not in runtime.get_available_providers():
        raise DeviceError(
            f"{device} was requested, but the ONNX Runtime installed here "
            f"({runtime.__version__}) has no CUDA; {install_command('gpu')} in place of [cpu], "
            "or use --device cpu"
        )
    unloaded = _preload(runtime)
    # Failures are raised in one line; the log would add a screen to it.
    runtime.set_default_logger_severity(_FATAL)
    try:
        session = make(
            (CUDA_PROVIDER, {"device_id": str(device.index)}),
            severity=_FATAL,
            # Without it a CUDA that cannot be loaded gives a CPU session and no exception.
            setting="session.disable_cpu_ep_fallback",
        )
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise _refused(device, unloaded or first_line(error)) from error
    finally:
        runtime.set_default_logger_severity(_WARNINGS)
    got = session.get_providers()[0]
    if got != CUDA_PROVIDER:
        raise _refused(device, unloaded or f"ONNX Runtime chose {got}")
    return session


def run_once(session: Session, signature: Signature) -> None:
    """Run on zeros: on CUDA the first run loads cuDNN and can fail. Raises DeviceError."""
    feeds = {
        each.name: np.zeros([size or 1 for size in each.shape], _DTYPES[each.dtype])
        for each in signature.inputs
    }
    session.run([each.name for each in signature.outputs], feeds)


def _refused(device: Device, cause: str) -> DeviceError:
    return DeviceError(
        f"{device} does not work here ({cause}); check the driver with nvidia-smi, "
        f"{install_command('gpu')}, or use --device cpu"
    )


def _preload(runtime: ModuleType) -> str | None:
    """Load CUDA's libraries from its pip packages; return the first failure as one line.

    ONNX Runtime prints failures to standard output, where data goes, and returns nothing.
    """
    with contextlib.redirect_stdout(io.StringIO()) as said:
        runtime.preload_dlls()
    return next((line for line in said.getvalue().splitlines() if "Failed" in line), None)
