"""A graph whose kernels CUDA launches all at once, as one CUDA graph, in place of one by one.

Takes an open session of ONNX Runtime that was made for it (`enable_cuda_graph`), gives what is used
of a session. Knows neither how one is opened nor what it computes.

What is captured reads and writes the memory that it was captured with. So each number of rows, up
to MOST_ROWS, has inputs and outputs of its own on the device, and its own capture, made by its
first run; inputs are copied there and outputs from there. More rows than that are launched kernel
by kernel: they take long enough for the launches not to matter. Runs wait for each other, as the
runtime demands of a session that captures.
"""

from collections.abc import Mapping, Sequence
from threading import Lock
from types import ModuleType
from typing import Any, Final

import numpy as np

MOST_ROWS: Final = 8
"""One picture, its hypotheses by a beam of 5 or less, and some of the confidences' rows."""
_GRAPH_ID: Final = "gpu_graph_id"
"""ONNX Runtime's name for which capture a run makes or launches: a positive number."""
_NONE: Final = -1
"""As that: nothing is captured."""

Place = tuple[str, int]
"""A device as ONNX Runtime calls it, and its number."""


class CapturedGraph:
    """A session that captures. Threads may share it."""

    def __init__(self, session: Any, runtime: ModuleType, place: Place) -> None:
        self._session, self._runtime, self._place = session, runtime, place
        self._lock = Lock()
        self._captures: dict[int, _Capture] = {}
        self._plainly = _run_options(runtime, _NONE)

    def run(self, outputs: list[str], feeds: Mapping[str, Any], /) -> Sequence[Any]:
        """The named outputs for the named inputs, whose first axis is the rows."""
        rows = len(next(iter(feeds.values())))
        with self._lock:
            if not 1 <= rows <= MOST_ROWS:
                found: Sequence[Any] = self._session.run(outputs, feeds, self._plainly)
                return found
            if rows not in self._captures:
                options = _run_options(self._runtime, rows)
                self._captures[rows] = _Capture(
                    self._session, self._runtime, feeds, place=self._place, options=options
                )
            return self._captures[rows].run(outputs, feeds)

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


class _Capture:
    """One number of rows: where it is read from and written to, all of it float32 but the feeds."""

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
