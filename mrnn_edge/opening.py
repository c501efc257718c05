"""A model that is being opened while its caller does something else: imports, reads a picture.

`begin` finds and checks the folder at once; the graphs are read, hashed and opened in a thread,
whose work is outside Python's lock but for a hundredth. Knows no caption.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mrnn_edge.bundle import Bundle, load_bundle, shipped_name
from mrnn_edge.config import GraphRole, Precision
from mrnn_edge.errors import OptionError
from mrnn_edge.runtime import Graphs, open_graphs
from mrnn_edge.threads import Started


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What a captioner is loaded with: all of it that is pickled."""

    model: str
    """The name of a shipped model, which another machine has elsewhere, or an absolute path."""
    id: str
    device: str
    precision: Precision
    threads: int | None
    concurrency: int


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A checked folder whose graphs are being opened; `Captioner.of` waits for them."""

    bundle: Bundle
    loading: Loading
    graphs: Started[Graphs]


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
    chosen = _parse_precision(precision) or bundle.config.default_precision
    graphs = Started(
        lambda: open_graphs(
            bundle.config,
            read=_read_ahead(bundle, chosen),
            metadata=bundle.metadata,
            device=device,
            threads=threads,
            concurrency=concurrency,
        ),
        name="open",
    )
    loading = Loading(
        model=shipped_name(bundle.folder) or os.path.abspath(bundle.folder),
        id=bundle.config.id,
        device=device,
        precision=chosen,
        threads=threads,
        concurrency=concurrency,
    )
    return Opening(bundle=bundle, loading=loading, graphs=graphs)


def _read_ahead(bundle: Bundle, precision: Precision) -> Callable[[GraphRole], bytes]:
    """The pair's bytes, which are read and hashed from now on; once given they are forgotten.

    Whoever asks again reads the file again. The runtime's import takes as long as both.
    """
    begun = {
        role: Started(partial(bundle.graph, precision, role), name=f"read {role}")
        for role in (GraphRole.ENCODER, GraphRole.STEP)
    }

    def read(role: GraphRole) -> bytes:
        started = begun.pop(role, None)
        return bundle.graph(precision, role) if started is None else started.wait()

    return read


def _parse_precision(precision: Precision | str | None) -> Precision | None:
    if precision is None:
        return None
    try:
        return Precision(precision)
    except ValueError:
        known = " or ".join(Precision)
        raise OptionError(f"precision is {precision!r}, expected {known}") from None
