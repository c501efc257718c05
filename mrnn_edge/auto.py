"""`auto` on a machine with CUDA: the graphs opened where a caption is fastest.

Takes a function that opens a model's graphs at a placement, gives the open ones and what to say of
the choice. A placement that cannot be had, or measured, costs the choice and never the caption: the
CPU is taken, the reason told and remembered, so that the next start does not pay for the attempt
again. Knows neither files nor the runtime.
"""

from dataclasses import replace
from typing import Protocol

from mrnn_edge.config import BundleConfig
from mrnn_edge.device import ON_CPU, Placement
from mrnn_edge.errors import DeviceError, ModelError, NumericalError
from mrnn_edge.placement import CANDIDATES, Measured, measure
from mrnn_edge.placement_memory import Failed, memory_file, remember, remembered
from mrnn_edge.runtime import Graphs


class OpenAt(Protocol):
    """Opens a model's graphs."""

    def __call__(self, placement: Placement, *, concurrency: int) -> Graphs:
        """The graphs at a placement, for so many calls at a time. Raises as `open_graphs` does."""


def open_fastest(open_at: OpenAt, config: BundleConfig, *, key: str, concurrency: int) -> Graphs:
    """The graphs where a caption takes least, measured once and remembered under `key`.

    That CUDA failed is remembered too, for a day. Raises what opening them on the CPU raises.
    """
    known = remembered(key)
    if isinstance(known, Failed):
        return _on_cpu(open_at, known.cause, believed=True, concurrency=concurrency)
    try:
        return _open_fastest(open_at, config, known, key=key, concurrency=concurrency)
    except (DeviceError, ModelError, NumericalError) as error:
        # Words alone: the exception would keep what was opened, and its memory, alive. Whether it
        # was the model's fault shows on the CPU, when it is opened there or asked for a caption.
        cause = str(error)
        # A CUDA that was measured has worked and may be busy; a model that cannot be opened may be
        # mended under the same key.
        lasting = remembered(key) is None and not isinstance(error, ModelError)
    if lasting:
        remember(key, Failed(cause))
    return _on_cpu(open_at, cause, believed=lasting, concurrency=concurrency)


def _on_cpu(open_at: OpenAt, cause: str, *, believed: bool, concurrency: int) -> Graphs:
    """The graphs on the CPU, and why; `believed` is a cause that keeps CUDA from being tried."""
    file = memory_file() if believed else None
    kept = f" (not tried again for a day: {file})" if file else ""
    notice = f"device auto: cpu; {cause}{kept}"
    return replace(open_at(ON_CPU, concurrency=concurrency), notice=notice)


def _open_fastest(
    open_at: OpenAt, config: BundleConfig, known: Measured | None, *, key: str, concurrency: int
) -> Graphs:
    measured, pairs = known, dict[Placement, Graphs]()
    if measured is None:
        # One call at a time, all threads its own: the times then hold for every concurrency.
        # The CPU last: where CUDA fails, nothing was opened in vain.
        pairs = {each: open_at(each, concurrency=1) for each in reversed(CANDIDATES)}
        measured = measure(pairs, config)
        remember(key, measured)
    best = measured.best()
    graphs = pairs.get(best) if concurrency == 1 else None
    pairs.clear()
    if graphs is None:
        graphs = open_at(best, concurrency=concurrency)
    notice = f"device auto: {best}; a caption takes {measured} ({memory_file() or 'not kept'})"
    return replace(graphs, notice=notice)
