"""A graph whose kernels CUDA launches all at once, as one CUDA graph, in place of one by one.

Takes a function that opens a session of ONNX Runtime that was made for it (`enable_cuda_graph`),
gives what is used of a session. Knows neither how one is opened nor what it computes.

What is captured reads and writes the memory that it was captured with. So each number of rows, up
to MOST_ROWS, has inputs and outputs of its own on the device, and its own capture, made by its
first run; inputs are copied there and outputs from there. More rows than that are launched kernel
by kernel: they take long enough for the launches not to matter.

All sessions of the process that capture are opened, run and let go in one thread. The runtime takes
one run at a time of each, keeps its captures by the thread that made them, and captures in a mode
in which what another thread asks of CUDA meanwhile fails.
"""

import contextlib
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, Final

import numpy as np

MOST_ROWS: Final = 8
"""One picture, its hypotheses by a beam of 5 or less, and some of the confidences' rows."""
FIRST_SOUND: Final = (1, 31, 1)
"""ONNX Runtime's first version that is known to hold what a capture of GatherND and Split reads of
the host's memory. It was freed before, and a launch read what came there (its pull requests 32120
and 32121)."""
_GRAPH_ID: Final = "gpu_graph_id"
"""ONNX Runtime's name for which capture a run makes or launches: a positive number."""
_NONE: Final = -1
"""As that: nothing is captured."""
_TOLERANCE: Final = 1e-3
"""Between what a capture and its kernels one by one give: float32 in another order at the most."""

Place = tuple[str, int]
"""A device as ONNX Runtime calls it, and its number."""


class CapturedGraph:
    """A session that captures. Threads may share it; they wait for each other."""

    def __init__(self, opener: Callable[[], Any], runtime: ModuleType, place: Place) -> None:
        """Opens the session, and raises what `opener` does."""
        self._runtime, self._place = runtime, place
        self._plainly = _run_options(runtime, _NONE)
        self._thread = _launching
        self._session = self._thread.submit(opener).result()
        self._captures: dict[int, _Capture] = {}
        # Whoever lets this go does it in some thread; what CUDA holds goes in its own.
        weakref.finalize(self, _let_go, self._thread, self._captures, [self._session])

    def run(self, outputs: list[str], feeds: Mapping[str, Any], /) -> Sequence[Any]:
        """The named outputs for the named inputs, whose first axis is the rows."""
        return self._thread.submit(self._run, outputs, feeds).result()

    def get_providers(self) -> Sequence[str]:
        """As the session."""
        found: Sequence[str] = self._session.get_providers()
        return found

    def get_modelmeta(self) -> Any:
        """As the session."""
        return self._session.get_modelmeta()

    def get_inputs(self) -> Sequence[Any]:
        """As the session."""
        found: Sequence[Any] = self._session.get_inputs()
        return found

    def get_outputs(self) -> Sequence[Any]:
        """As the session."""
        found: Sequence[Any] = self._session.get_outputs()
        return found

    def _run(self, outputs: list[str], feeds: Mapping[str, Any]) -> Sequence[Any]:
        rows = len(next(iter(feeds.values())))
        if rows in self._captures:
            return self._captures[rows].run(outputs, feeds)
        plain: Sequence[Any] = self._session.run(outputs, feeds, self._plainly)
        if 1 <= rows <= MOST_ROWS:
            self._captures[rows] = self._captured(outputs, feeds, plain)
        return plain

    def _captured(
        self, outputs: list[str], feeds: Mapping[str, Any], plain: Sequence[Any]
    ) -> "_Capture":
        """A capture that gives what its kernels gave one by one. Raises RuntimeError if not."""
        rows = len(next(iter(feeds.values())))
        options = _run_options(self._runtime, rows)
        made = _Capture(self._session, self._runtime, feeds, place=self._place, options=options)
        for _ in range(2):  # the run that captures, and one that launches what was captured
            for found, wanted in zip(made.run(outputs, feeds), plain, strict=True):
                if not np.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
                    raise RuntimeError(
                        f"a CUDA graph of {rows} rows gives other numbers than its kernels do"
                    )
        return made


class _Capture:
    """One number of rows: where it is read from and written to; all outputs are float32."""

    def __init__(
        self,
        session: Any,
        runtime: ModuleType,
        feeds: Mapping[str, Any],
        *,
        place: Place,
        options: Any,
    ) -> None:
        self._session, self._options = session, options
        rows = len(next(iter(feeds.values())))
        value = runtime.OrtValue
        self._inputs = {
            name: value.ortvalue_from_numpy(np.array(fed), *place) for name, fed in feeds.items()
        }
        self._outputs = {
            each.name: value.ortvalue_from_shape_and_type(
                [rows, *each.shape[1:]], np.float32, *place
            )
            for each in session.get_outputs()
        }
        self._io = session.io_binding()
        for name, held in self._inputs.items():
            self._io.bind_ortvalue_input(name, held)
        for name, held in self._outputs.items():
            self._io.bind_ortvalue_output(name, held)

    def run(self, outputs: list[str], feeds: Mapping[str, Any]) -> list[Any]:
        for name, fed in feeds.items():
            self._inputs[name].update_inplace(np.ascontiguousarray(fed))
        self._session.run_with_iobinding(self._io, self._options)
        return [self._outputs[name].numpy() for name in outputs]


def _run_options(runtime: ModuleType, number: int) -> Any:
    options = runtime.RunOptions()
    options.add_run_config_entry(_GRAPH_ID, str(number))
    return options


def _new_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="cuda graphs")


def _let_go(thread: ThreadPoolExecutor, *held: "dict[int, _Capture] | list[Any]") -> None:
    # At the end of the interpreter there is no thread any more, and nothing is captured.
    with contextlib.suppress(RuntimeError):
        for each in held:
            thread.submit(each.clear)


_launching = _new_thread()


def _after_fork() -> None:
    """The thread stayed with the parent; a model that is loaded in the child needs one."""
    global _launching
    _launching = _new_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
