"""A walk through the step graph that feeds a step what the last one left on the device, for CUDA.

Takes the open step graph and image vectors, gives log-probabilities; a Walk of beams.py. The image
vectors go to the device once for as long as the rows belong to the same images. The states, 1 KB a
row, are fed from where the last step left them as long as the hypotheses keep their order, and from
the host where a beam is sorted anew. Log-probabilities and a copy of the states come to the host at
each step: the search is there, and hypotheses keep their states. On the CPU it gives the same and
gains nothing (docs/runtime.md).

A run that fails is done again through the step graph's own call, which opens the graph anew,
checks what comes back, and says what is wrong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mrnn_edge.beams import Floats, StepFunction
from mrnn_edge.session import Session


class BoundWalk:
    """Hypotheses on their way through the step graph. For one thread."""

    def __init__(
        self,
        session: Session,
        plain: StepFunction,
        images: Floats,
        *,
        state: int,
        vocabulary: int,
    ) -> None:
        """`plain` is the step by a call of its own, for when a bound run fails."""
        self._session, self._plain = session, plain
        self._images = np.ascontiguousarray(images)
        self._owner = list(range(len(images)))
        self._vocabulary = vocabulary
        self._fed = np.zeros((len(images), state), np.float32)
        self._rows: list[int] | None = None
        """What go_on made of the last step's rows; None where they go on as they are."""
        self._bound: _Binding | None = None

    def step(self, tokens: Sequence[int]) -> tuple[Floats, Floats]:
        """As Walk says."""
        found = self._bound_step(tokens)
        if found is None:
            token = np.array(tokens, np.int64)
            found = self._plain(token, self._fed, self._images[self._owner])
        log_probs, state = found
        fed, self._fed, self._rows = self._fed, state, None
        return log_probs, fed

    def go_on(self, rows: list[int], images: list[int]) -> None:
        """As Walk says."""
        if rows != list(range(len(self._owner))):
            self._rows = rows
            self._fed = self._fed[rows]
        if images != self._owner:
            self._owner = images
            self._bound = None

    def _bound_step(self, tokens: Sequence[int]) -> tuple[Floats, Floats] | None:
        """Log-probabilities and next states; None where the run failed.

        Its exception ends here: it would keep the graph that failed, and its memory, alive while
        another one is opened.
        """
        try:
            if self._bound is None:
                self._bound = _Binding(
                    self._session, self._images[self._owner], self._fed, self._vocabulary
                )
            return self._bound.run(tokens, None if self._rows is None else self._fed)
        except Exception:  # ONNX Runtime's exceptions have no base of their own
            self._bound = None
            return None


class _Binding:
    """The step graph for rows of certain images: what it reads and writes, bound once."""

    def __init__(self, session: Session, vectors: Floats, state: Floats, vocabulary: int) -> None:
        self._graph = session.graph()
        self._place = (str(session.device.kind), session.device.index)
        # What is bound is copied to the device then, or on the CPU read where it lies: it is kept.
        self._vectors, self._state = vectors, state
        self._token = np.zeros(len(vectors), np.int64)
        self._log_probs = np.empty((len(vectors), vocabulary), np.float32)
        self._io: Any = self._graph.io_binding()
        self._io.bind_cpu_input("image", vectors)
        self._io.bind_cpu_input("state", state)
        to = self._log_probs
        self._io.bind_output("log_probs", "cpu", 0, np.float32, to.shape, to.ctypes.data)
        self._io.bind_output("next_state", *self._place)
        self._fresh = True

    def run(self, tokens: Sequence[int], state: Floats | None) -> tuple[Floats, Floats]:
        """Log-probabilities and next states; `state` is None for what the last run gave."""
        self._token[:] = tokens
        self._io.bind_cpu_input("token", self._token)
        if not self._fresh:
            if state is None:
                self._io.bind_ortvalue_input("state", self._io.get_outputs()[1])
            else:
                self._state = state
                self._io.bind_cpu_input("state", state)
            self._io.bind_output("next_state", *self._place)
        self._fresh = False
        self._graph.run_with_iobinding(self._io)
        following: Floats = self._io.get_outputs()[1].numpy()
        return self._log_probs, following
