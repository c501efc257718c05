"""`auto` on a machine with CUDA: the graphs opened where a caption is fastest.

Takes a function that opens a model's graphs at a placement, gives the open ones and what to say of
the choice. A placement that cannot be had, or measured, costs the choice and never the caption: the
CPU is taken and the reason told. Knows neither files nor the runtime.
"""

from dataclasses import replace
from typing import Protocol

from mrnn_edge.config import BundleConfig
from mrnn_edge.device import ON_CPU, Placement
from mrnn_edge.errors import DeviceError, ModelError, NumericalError
from mrnn_edge.placement import CANDIDATES, measure
from mrnn_edge.placement_memory import memory_file, remember, remembered
from mrnn_edge.runtime import Graphs


class OpenAt(Protocol):
    """Opens a model's graphs."""

    def __call__(self, placement: Placement, *, concurrency: int) -> Graphs:
        """The graphs at a placement, for so many calls at a time. Raises as `open_graphs` does."""


def open_fastest(open_at: OpenAt, config: BundleConfig, *, key: str, concurrency: int) -> Graphs:
    """The graphs where a caption takes least, measured once and remembered under `key`.

    Raises what opening them on the CPU raises.
    """
    try:
        return _open_fastest(open_at, config, key=key, concurrency=concurrency)
    except (DeviceError, ModelError, NumericalError) as error:
        # Words alone: the exception would keep what was opened, and its memory, alive. Whether it
        # was the model's fault shows on the CPU, when it is opened there or asked for a caption.
        cause = str(error)
    return replace(open_at(ON_CPU, concurrency=concurrency), notice=f"device auto: cpu; {cause}")


def _open_fastest(open_at: OpenAt, config: BundleConfig, *, key: str, concurrency: int) -> Graphs:
    measured, pairs = remembered(key), dict[Placement, Graphs]()
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
