"""ONNX Runtime, and the only importer of it: devices and session options.

Takes the bytes of the graphs and a device, returns the open pair (graphs.py). A requested device is
used or DeviceError is raised; there is no silent fallback. ONNX Runtime itself falls back to the
CPU without an exception, and its list of providers names what was compiled in, not what works here.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final, cast

from mrnn_edge.bundle.config import BundleConfig, GraphRole, Precision
from mrnn_edge.engine.device import CPU, Device, DeviceKind
from mrnn_edge.engine.graphs import (
    OpenEncoder,
    OpenStep,
    check_metadata,
    check_signature,
    graph_signature,
)
from mrnn_edge.engine.session import Session, first_line
from mrnn_edge.engine.threads import Started
from mrnn_edge.errors import BundleError, DeviceError, OptionError, install_command
from mrnn_edge.machine import usable_cores

TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"
"""ONNX Runtime 1.29 and later report to their vendor unless this variable is 1 at their import:
they look up a host, open a TLS connection, and keep a device id in the user's cache folder. Seen
with 1.32.0: with the variable there is neither socket nor folder; the runtime's function
`disable_telemetry_events` prevents neither."""
_CPU_PROVIDER = "CPUExecutionProvider"
MAX_THREADS: Final = 256
"""ONNX Runtime creates any number requested, until the machine can start no more processes."""
STEP_THREADS: Final = 1
"""The step multiplies 1.1 million numbers. A pool of its own gains little, keeps spinning into the
next picture and takes the encoder's cores (docs/runtime.md)."""
_ERRORS: Final = 3
"""A severity of ONNX Runtime's log."""


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """The open pair, and where it runs."""

    encoder: OpenEncoder
    step: OpenStep
    device: Device
    precision: Precision
    threads: int
    """Calls of the step that may usefully run at a time: the CPU threads; 1 on CUDA."""
    concurrency: int
    """Calls of the encoder that share these threads, each on its part of them; 1 on CUDA."""
    notice: str | None = None
    """Why `auto` took the CPU, where this runtime was built for CUDA; for people."""


def open_graphs(
    config: BundleConfig,
    *,
    read: Callable[[GraphRole], bytes],
    metadata: Callable[[GraphRole], Mapping[str, str]],
    device: Device = CPU,
    precision: Precision = Precision.FLOAT32,
    threads: int | None = None,
    concurrency: int = 1,
) -> Graphs:
    """Open the encoder and the step on a device and check them against their contract.

    `read` returns the bytes of a graph in this `precision`; it is called again where a run fails
    and the graph is reopened. `threads` defaults to the cores that this process may use.
    `concurrency` is how many calls come at a time; they share the threads, because a call on a
    core of its own waits for no other core. Raises OptionError, DeviceError, BundleError,
    SignatureError or VocabularyMismatchError.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise OptionError(f"threads is {threads}, expected 1 to {MAX_THREADS}")
    if concurrency < 1:
        raise OptionError(f"concurrency is {concurrency}, expected 1 or more")
    cores = threads or usable_cores()
    at_once = min(concurrency, cores)
    open_one = partial(open_session, config, read=read, metadata=metadata, device=device)
    open_encoder = partial(open_one, GraphRole.ENCODER, threads=cores // at_once)
    open_step = partial(open_one, GraphRole.STEP, threads=STEP_THREADS)
    on_cpu = device.kind is DeviceKind.CPU
    if on_cpu:
        # In parallel. On CUDA the severity of the log is global.
        opening = Started(open_step, name="open step")
        try:
            encoder = open_encoder()
        finally:
            opening.join()
        step = opening.wait()
    else:
        from mrnn_edge.engine.cuda import run_once  # a start on the CPU does without

        encoder, step = open_encoder(), open_step()
        run_once(encoder, graph_signature(GraphRole.ENCODER, config))
        run_once(step, graph_signature(GraphRole.STEP, config))
    return Graphs(
        encoder=OpenEncoder(encoder, config),
        step=OpenStep(step, config),
        device=device,
        precision=precision,
        threads=cores if on_cpu else 1,
        concurrency=at_once if on_cpu else 1,
    )


def open_session(
    config: BundleConfig,
    role: GraphRole,
    *,
    read: Callable[[GraphRole], bytes],
    metadata: Callable[[GraphRole], Mapping[str, str]],
    device: Device,
    threads: int,
) -> Session:
    """One graph, checked against its contract each time it is opened. Raises as `open_graphs`."""
    runtime = import_runtime()

    def open_checked() -> Any:
        session = new_session(runtime, device, read(role), role, threads)
        check_metadata(session, role, metadata(role))
        check_signature(session, role, graph_signature(role, config))
        return session

    return Session(open_checked, device=device)


def open_plain(graph: bytes, *, threads: int | None = None) -> Session:
    """Open a graph that belongs to no model, on the CPU: training's frozen CNN.

    Raises BundleError if ONNX Runtime refuses it.
    """
    new = partial(new_session, import_runtime(), CPU, graph, GraphRole.ENCODER)
    return Session(partial(new, threads or usable_cores()), device=CPU)


def new_session(
    runtime: ModuleType, device: Device, graph: bytes, role: GraphRole, threads: int
) -> Any:
    """A session of ONNX Runtime. Raises DeviceError or BundleError."""
    make = partial(_session, runtime, graph, threads=threads)
    if device.kind is DeviceKind.CUDA:
        from mrnn_edge.engine.cuda import cuda_session

        return cuda_session(runtime, device, make)
    try:
        # Between two runs the threads would go on spinning and take the loop's cores.
        return make(_CPU_PROVIDER, severity=_ERRORS, setting="session.force_spinning_stop")
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise BundleError(
            f"ONNX Runtime {runtime.__version__} refuses the {role} graph "
            f"({first_line(error)}); upgrade onnxruntime or export the model again"
        ) from error


def _session(
    runtime: ModuleType,
    graph: bytes,
    provider: str | tuple[str, dict[str, str]],
    *,
    threads: int,
    severity: int,
    setting: str,
) -> Any:
    """A session on one provider that nothing but these bytes and options configures.

    `setting` is switched on in addition to the settings of all sessions.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = severity
    # By itself it could take what graph_bytes.py read as ONNX for a flatbuffer of its own.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry(setting, "1")
    session = runtime.InferenceSession(
        graph,
        options,
        providers=[provider],
        enable_fallback=0,  # tries a refused graph again and says so on standard output
        read_config_from_model=0,  # a graph's metadata would set options of the session
    )
    # The wrapper would keep the file's bytes for that fallback while the session lives.
    session._model_bytes = None
    return session


def disable_telemetry() -> None:
    """Switch ONNX Runtime's telemetry off, here and in child processes, unless the user set it.

    Call it before `onnxruntime` is imported.
    """
    os.environ.setdefault(TELEMETRY, "1")


def import_runtime() -> ModuleType:
    """ONNX Runtime. Raises DeviceError where it cannot be imported."""
    disable_telemetry()
    try:
        import onnxruntime

        onnxruntime.InferenceSession  # noqa: B018  # absent where one of two wheels was uninstalled
    except (ImportError, AttributeError) as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({error}); {install_command('cpu')} "
            "(or [gpu] for NVIDIA CUDA, not both)"
        ) from None
    return cast(ModuleType, onnxruntime)
