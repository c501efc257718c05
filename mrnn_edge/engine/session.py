"""One open graph that outlives a failure of its device, and refuses what no session outlives.

Takes a function that opens the graph, gives `run`. Knows neither which runtime opens it nor what
the graph computes.

What is done about a run that fails: the graph is opened anew, once, and the same run tried again,
so that memory that was short for a moment or a device that was reset costs time and no picture. A
second failure is put down to the device, or on the CPU to the model. What is done about a fork:
nothing can be, the threads of the session stay with the parent and a run in the child could wait
for them for ever. It is refused.
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
    """What is used of a session of ONNX Runtime, once it is open."""

    def run(self, outputs: list[str], feeds: Mapping[str, Any], /) -> Sequence[Any]:
        """The named outputs for the named inputs."""


class Session:
    """An open graph. Threads may share it; a process that was forked later may not."""

    def __init__(self, opener: Callable[[], OpenGraph], *, device: Device) -> None:
        """Opens the graph. `device` is where it runs, and what a failure is put down to."""
        self._open = opener
        self._device = device
        self._lock = Lock()
        self._process = os.getpid()
        self._graph: OpenGraph | None = opener()
        self._opened = 1

    def run(self, outputs: list[str], feeds: Mapping[str, Any]) -> Sequence[Any]:
        """The named outputs for the named inputs.

        Where it fails twice: DeviceError, or on the CPU, which runs what can be run, ModelError.
        ForkedSessionError in a forked child.
        """
        self._check_process()
        opened = self._opened
        try:
            return self._current(opened).run(outputs, feeds)
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            # Words alone: the exception would keep the graph that failed, and its memory, alive.
            cause = first_line(error)
        try:
            return self._current(opened + 1).run(outputs, feeds)
        except Exception as error:
            failed = f"({cause}), and on a graph opened anew ({first_line(error)})"
            if self._device.kind is DeviceKind.CPU:
                raise ModelError(
                    f"the graph failed when it ran {failed}; check the model with "
                    "`mrnn-edge verify`, or give it fewer pictures at a time"
                ) from error
            raise DeviceError(
                f"{self._device} failed in the middle of a run {failed}; give it fewer pictures "
                "at a time or another --device, and see what `mrnn-edge doctor` finds"
            ) from error

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise ForkedSessionError(
                f"this model was loaded in process {self._process}, whose fork {os.getpid()} has "
                "none of its threads; load it in the child, or start children with `spawn`"
            )

    def _current(self, number: int) -> OpenGraph:
        """The graph as it was opened last, opened anew if that was not the `number`-th time."""
        with self._lock:
            # Of several threads whose runs failed together, the first opens for all.
            if self._graph is None or self._opened < number:
                self._graph = None  # its memory goes first
                self._graph = self._open()
                self._opened += 1
            return self._graph


def first_line(error: BaseException) -> str:
    """What an exception of ONNX Runtime says, in one line, the place in its source left out."""
    said = str(error).strip()
    return _SOURCE.sub("", said.splitlines()[0]) if said else type(error).__name__
