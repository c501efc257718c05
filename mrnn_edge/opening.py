"""A model that is being opened while its caller does something else: imports, reads a picture.

`begin` finds and checks the folder at once; the graphs are read, hashed and opened in a thread,
whose work is outside Python's lock but for a hundredth. Knows no caption.
"""

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mrnn_edge.bundle import Bundle, load_bundle, shipped_name
from mrnn_edge.config import BundleConfig, GraphRole, Precision
from mrnn_edge.device import ON_CPU, DeviceKind, Placement, parse_placement, usable_cores
from mrnn_edge.errors import OptionError
from mrnn_edge.threads import Started

if TYPE_CHECKING:
    from mrnn_edge.runtime import Graphs


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
    wanted = parse_placement(device)
    named = _parse_precision(precision)
    likely = named or own_precision(config, wanted or ON_CPU)
    # The runtime's import takes as long as both.
    ahead = {
        role: Started(partial(bundle.graph, likely, role), name=f"read {role}")
        for role in (GraphRole.ENCODER, GraphRole.STEP)
    }

    from mrnn_edge.runtime import import_ahead, open_graphs, runtime_facts

    import_ahead()

    def read(chosen: Precision, role: GraphRole) -> bytes:
        # Once given they are forgotten; whoever asks again reads the file again.
        started = ahead.pop(role, None) if chosen is likely else None
        return bundle.graph(chosen, role) if started is None else started.wait()

    def open_at(placement: Placement, *, concurrency: int) -> "Graphs":
        chosen = named or own_precision(config, placement)
        return open_graphs(
            config,
            read=partial(read, chosen),
            metadata=bundle.metadata,
            placement=placement,
            precision=chosen,
            threads=threads,
            concurrency=concurrency,
        )

    def open_wanted() -> "Graphs":
        if wanted is not None:
            return open_at(wanted, concurrency=concurrency)
        facts = runtime_facts()
        if not facts.has_cuda:
            return open_at(ON_CPU, concurrency=concurrency)
        from mrnn_edge.auto import open_fastest
        from mrnn_edge.placement import CANDIDATES
        from mrnn_edge.placement_memory import key_of

        pairs = [config.precisions[named or own_precision(config, each)] for each in CANDIDATES]
        key = key_of(
            (graph for pair in pairs for graph in (pair.encoder, pair.step)),
            runtime=facts.version,
            threads=threads or usable_cores(),
        )
        return open_fastest(open_at, config, key=key, concurrency=concurrency)

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


def own_precision(config: BundleConfig, placement: Placement) -> Precision:
    """What a model computes in where nobody names it: its default, float32 if it has it on CUDA.

    ONNX Runtime's CUDA lacks an operator of int8 graphs, the biases' DequantizeLinear of int32.
    """
    on_cuda = placement.encoder.kind is DeviceKind.CUDA
    if on_cuda and Precision.FLOAT32 in config.precisions:
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
