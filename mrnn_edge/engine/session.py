"""One open graph that survives one failure of its device, and refuses to run in a forked process.

Takes a function that opens the graph, offers `run`. Knows neither the runtime nor what the graph
computes.

A failed run is retried once on a reopened graph, so that a moment without memory or a reset device
costs time and no picture. After a second failure the device is at fault, on the CPU the model. A
forked child could wait for ever for threads that it lacks.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Final, Protocol

from mrnn_edge.engine.device import Device, DeviceKind
from mrnn_edge.errors import DeviceError, ForkedSessionError, ModelError

CUDA_PROVIDER: Final = "CUDAExecutionProvider"
"""What ONNX Runtime calls CUDA."""
_SOURCE = re.compile(r"/onnxruntime_src/\S+:\d+ [^()]*\(.*?\)( const)? (?=\S)")


class OpenGraph(Protocol):
    """The part of an ONNX Runtime session that is used."""

    def run(self, outputs: list[str], feeds: Mapping[str, Any], /) -> Sequence[Any]:
        """The named outputs for the named inputs."""


class Session:
    """An open graph. Threads may share it; a process forked later may not."""

    def __init__(self, opener: Callable[[], OpenGraph], *, device: Device) -> None:
        """Open the graph. `device` is where it runs; error messages name it."""
        self._open = opener
        self._device = device
        self._lock = Lock()
        self._process = os.getpid()
        self._graph: OpenGraph | None = opener()
        self._opened = 1

    def run(self, outputs: list[str], feeds: Mapping[str, Any]) -> Sequence[Any]:
        """The named outputs for the named inputs.

        Raises DeviceError, on the CPU ModelError, where it fails twice, and ForkedSessionError in a
        forked child.
        """
        if os.getpid() != self._process:
            raise ForkedSessionError(
                f"this model was loaded in process {self._process}, whose fork {os.getpid()} has "
                "none of its threads; load it in the child, or start children with `spawn`"
            )
        opened = self._opened
        try:
            return self._current(opened).run(outputs, feeds)
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            # The text alone: the exception would keep the failed graph and its memory alive.
            cause = first_line(error)
        try:
            return self._current(opened + 1).run(outputs, feeds)
        except Exception as error:
            failed = f"({cause}), and on the reopened graph ({first_line(error)})"
            if self._device.kind is DeviceKind.CPU:
                raise ModelError(
                    f"the graph failed when it ran {failed}; check the model with "
                    "`mrnn-edge verify`, or give it fewer pictures at a time"
                ) from error
            raise DeviceError(
                f"{self._device} failed in the middle of a run {failed}; give it fewer pictures "
                "at a time or another --device, and see what `mrnn-edge doctor` finds"
            ) from error

    def _current(self, number: int) -> OpenGraph:
        """The graph, reopened if it was opened fewer than `number` times."""
        with self._lock:
            # Of several threads whose runs failed together, the first reopens for all.
            if self._graph is None or self._opened < number:
                self._graph = None  # its memory goes first
                self._graph = self._open()
                self._opened += 1
            return self._graph


def first_line(error: BaseException) -> str:
    """The first line of an exception of ONNX Runtime, without the place in its source."""
    said = str(error).strip()
    return _SOURCE.sub("", said.splitlines()[0]) if said else type(error).__name__
