"""A model that is being opened while its caller does something else: imports, reads a picture.

`begin` finds and checks the folder at once; the graphs are read, hashed and opened in a thread,
whose work is outside Python's lock but for a hundredth. Knows no caption.
"""

import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from mrnn_edge.bundle.config import BundleConfig, GraphRole, Precision
from mrnn_edge.bundle.folder import Bundle, load_bundle, shipped_name
from mrnn_edge.engine.device import CPU, CUDA, Device, DeviceKind, parse_device
from mrnn_edge.engine.threads import Started
from mrnn_edge.errors import DeviceError, OptionError

if TYPE_CHECKING:
    from mrnn_edge.engine.runtime import Graphs


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What a captioner is loaded with: all of it that is pickled."""

    model: str
    """The name of a shipped model, which another machine has elsewhere, or an absolute path."""
    id: str
    device: str
    precision: Precision | None
    """None: the model's own where it runs."""
    threads: int | None
    concurrency: int


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A checked folder whose graphs are being opened; `Captioner.of` waits for them."""

    bundle: Bundle
    loading: Loading
    graphs: "Started[Graphs]"


def begin(
    model: str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    precision: Precision | str | None = None,
    threads: int | None = None,
    concurrency: int = 1,
) -> Opening:
    """Begin to open a model, as `Captioner.load` does.

    Raises ModelError or OptionError for what the folder and the options tell; what opening the
    graphs raises comes from `graphs.wait()`.
    """
    bundle = load_bundle(model)
    config = bundle.config
    wanted = parse_device(device)
    named = _parse_precision(precision)
    likely = named or own_precision(config, wanted or CPU)
    # The runtime's import takes as long as both.
    ahead = {
        role: Started(partial(bundle.graph, likely, role), name=f"read {role}")
        for role in (GraphRole.ENCODER, GraphRole.STEP)
    }

    from mrnn_edge.engine.runtime import import_ahead, open_graphs, runtime_facts, try_device

    import_ahead()

    def read(chosen: Precision, role: GraphRole) -> bytes:
        # Once given they are forgotten; whoever asks again reads the file again.
        started = ahead.pop(role, None) if chosen is likely else None
        return bundle.graph(chosen, role) if started is None else started.wait()

    def open_on(device: Device) -> "Graphs":
        chosen = named or own_precision(config, device)
        return open_graphs(
            config,
            read=partial(read, chosen),
            metadata=bundle.metadata,
            device=device,
            precision=chosen,
            threads=threads,
            concurrency=concurrency,
        )

    def open_wanted() -> "Graphs":
        if wanted is not None:
            return open_on(wanted)
        if not runtime_facts().has_cuda:
            return open_on(CPU)
        try:
            try_device(CUDA)
            return open_on(CUDA)
        except DeviceError as error:
            # The message only: the exception would keep what was opened, and its memory, alive.
            cause = str(error)
        return replace(open_on(CPU), notice=f"device cpu; {cause}")

    def opened() -> "Graphs":
        try:
            return open_wanted()
        finally:
            for unread in ahead.values():
                unread.join()
            ahead.clear()

    loading = Loading(
        model=shipped_name(bundle.folder) or os.path.abspath(bundle.folder),
        id=config.id,
        device=device,
        precision=named,
        threads=threads,
        concurrency=concurrency,
    )
    return Opening(bundle=bundle, loading=loading, graphs=Started(opened, name="open"))


def own_precision(config: BundleConfig, device: Device) -> Precision:
    """What a model computes in where nobody names it: its default, float32 if it has it on CUDA.

    ONNX Runtime's CUDA lacks an operator of int8 graphs, the biases' DequantizeLinear of int32.
    """
    if device.kind is DeviceKind.CUDA and Precision.FLOAT32 in config.precisions:
        return Precision.FLOAT32
    return config.default_precision


def _parse_precision(precision: Precision | str | None) -> Precision | None:
    if precision is None:
        return None
    try:
        return Precision(precision)
    except ValueError:
        known = " or ".join(Precision)
        raise OptionError(f"precision is {precision!r}, expected {known}") from None
