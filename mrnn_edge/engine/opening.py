"""Opens a model in a thread, while the caller imports modules or reads a picture.

`begin` finds and checks the folder at once. Reading, hashing and opening the graphs follows in
threads, which release the GIL 99 % of the time. Knows no caption.
"""

import contextlib
import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from mrnn_edge.bundle.config import BundleConfig, GraphRole, Precision
from mrnn_edge.bundle.folder import Bundle, load_bundle, shipped_name
from mrnn_edge.engine.device import CPU, CUDA, Device, DeviceKind, parse_device
from mrnn_edge.engine.session import CUDA_PROVIDER
from mrnn_edge.engine.threads import Started
from mrnn_edge.errors import DeviceError, OptionError

if TYPE_CHECKING:
    from mrnn_edge.engine.runtime import Graphs


@dataclass(frozen=True, kw_only=True)
class Loading:
    """The options that a captioner is loaded with; a pickle holds nothing else."""

    model: str
    """The name of a shipped model, whose folder differs between machines, or an absolute path."""
    id: str
    device: str
    precision: Precision | None
    """None: the model's own on its device."""
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
    """Start opening a model; the options are those of `Captioner.load`.

    Raises ModelError or OptionError for the folder and the options. `graphs.wait()` raises what
    opening the graphs raises.
    """
    bundle = load_bundle(model)
    requested = parse_device(device)
    loading = Loading(
        model=shipped_name(bundle.folder) or os.path.abspath(bundle.folder),
        id=bundle.config.id,
        device=device,
        precision=_parse_precision(precision),
        threads=threads,
        concurrency=concurrency,
    )
    # Both graphs are read while the runtime is imported, which takes as long.
    likely = loading.precision or own_precision(bundle.config, requested or CPU)
    files = _FilesAhead(bundle, likely)

    from mrnn_edge.engine.runtime import import_runtime

    with contextlib.suppress(DeviceError):  # raised again where the graphs are waited for
        import_runtime()
    call = partial(_open, files, loading, requested)
    return Opening(bundle=bundle, loading=loading, graphs=Started(call, name="open"))


class _FilesAhead:
    """The graph files of a bundle; those of one precision are read in threads at once."""

    def __init__(self, bundle: Bundle, precision: Precision) -> None:
        self.bundle = bundle
        self._precision = precision
        self._started = {
            role: Started(partial(bundle.graph, precision, role), name=f"read {role}")
            for role in (GraphRole.ENCODER, GraphRole.STEP)
        }

    def read(self, precision: Precision, role: GraphRole) -> bytes:
        """The bytes of a graph. They are returned once; a later call reads the file again."""
        started = self._started.pop(role, None) if precision is self._precision else None
        return self.bundle.graph(precision, role) if started is None else started.wait()

    def close(self) -> None:
        """Wait for the threads and drop what they read."""
        for started in self._started.values():
            started.join()
        self._started.clear()


def _open(files: _FilesAhead, loading: Loading, requested: Device | None) -> "Graphs":
    """Open both graphs on the requested device; `auto` tries CUDA and falls back to the CPU."""
    from mrnn_edge.engine.runtime import import_runtime

    try:
        if requested is None and CUDA_PROVIDER not in import_runtime().get_available_providers():
            requested = CPU
        if requested is not None:
            return _open_on(requested, files, loading)
        from mrnn_edge.engine.trial import try_device

        try:
            try_device(CUDA)
            return _open_on(CUDA, files, loading)
        except DeviceError as error:
            cause = str(error)  # the exception itself would keep the opened graphs in memory
        return replace(_open_on(CPU, files, loading), notice=f"device cpu; {cause}")
    finally:
        files.close()


def _open_on(device: Device, files: _FilesAhead, loading: Loading) -> "Graphs":
    from mrnn_edge.engine.runtime import open_graphs

    precision = loading.precision or own_precision(files.bundle.config, device)
    return open_graphs(
        files.bundle.config,
        read=partial(files.read, precision),
        metadata=files.bundle.metadata,
        device=device,
        precision=precision,
        threads=loading.threads,
        concurrency=loading.concurrency,
    )


def own_precision(config: BundleConfig, device: Device) -> Precision:
    """The precision used where none is requested: the model's default; on CUDA float32 if present.

    ONNX Runtime's CUDA lacks an operator of int8 graphs, the biases' DequantizeLinear of int32.
    """
    if device.kind is DeviceKind.CUDA and Precision.FLOAT32 in config.precisions:
        return Precision.FLOAT32
    return config.default_precision


def _parse_precision(precision: Precision | str | None) -> Precision | None:
    try:
        return None if precision is None else Precision(precision)
    except ValueError:
        known = " or ".join(Precision)
        raise OptionError(f"precision is {precision!r}, expected {known}") from None
