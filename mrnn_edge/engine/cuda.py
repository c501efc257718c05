"""Sessions on CUDA: had as they were asked for, or refused with the loader's own reason.

Takes ONNX Runtime as a module, a device, and what makes a session; gives a function that opens
graphs there. Imported where CUDA is asked for, and by nobody else.
"""

import contextlib
import io
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.engine.device import Device
from mrnn_edge.engine.session import CUDA_PROVIDER, first_line
from mrnn_edge.errors import DeviceError, install_command

_WARNINGS, _FATAL = 2, 4
"""Severities of ONNX Runtime's log: the one that it starts with, and the one that says nothing."""

_Opener = Callable[[bytes, GraphRole, int], Any]


class Make(Protocol):
    """Makes a session of a graph's bytes on one provider, with one setting more than all have."""

    def __call__(
        self,
        graph: bytes,
        provider: tuple[str, dict[str, str]],
        *,
        threads: int,
        severity: int,
        setting: str,
    ) -> Any:
        """Raises whatever ONNX Runtime does."""


def cuda_opener(runtime: ModuleType, device: Device, make: Make) -> _Opener:
    """A function from a graph's bytes, its role and a thread count to a session on the device.

    Raises DeviceError, and so does what it gives, where that cannot be had.
    """
    if CUDA_PROVIDER not in runtime.get_available_providers():
        raise DeviceError(
            f"{device} was asked for, but the ONNX Runtime installed here "
            f"({runtime.__version__}) has no CUDA; {install_command('gpu')} in place of [cpu], "
            "or use --device cpu"
        )
    unloaded = _preload(runtime)
    settings = {"device_id": str(device.index)}

    def open_session(graph: bytes, _role: GraphRole, threads: int) -> Any:
        # What goes wrong here is raised, in one line; the log would add a screen to it.
        runtime.set_default_logger_severity(_FATAL)
        try:
            session = make(
                graph,
                (CUDA_PROVIDER, settings),
                threads=threads,
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

    return open_session


def _refused(device: Device, cause: str) -> DeviceError:
    return DeviceError(
        f"{device} does not work here ({cause}); check the driver with nvidia-smi, "
        f"{install_command('gpu')}, or use --device cpu"
    )


def _preload(runtime: ModuleType) -> str | None:
    """Load CUDA's libraries from its pip packages; returns what could not be loaded, in one line.

    ONNX Runtime prints that to standard output, where data goes, and returns nothing.
    """
    with contextlib.redirect_stdout(io.StringIO()) as said:
        runtime.preload_dlls()
    return next((line for line in said.getvalue().splitlines() if "Failed" in line), None)
