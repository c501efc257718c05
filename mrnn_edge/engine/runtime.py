"""ONNX Runtime, and the only importer of it: devices and session options.

Takes the bytes of the graphs and a device, returns the open pair (graphs.py). A requested device is
used or DeviceError is raised; there is no silent fallback. ONNX Runtime itself falls back to the
CPU without an exception, and its list of providers names what was compiled in, not what works here.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final, cast

import numpy as np

from mrnn_edge.bundle.config import BundleConfig, GraphRole, Precision
from mrnn_edge.engine.device import CPU, Device, DeviceKind
from mrnn_edge.engine.graphs import (
    OpenEncoder,
    OpenStep,
    Signature,
    check_metadata,
    check_signature,
    graph_signature,
)
from mrnn_edge.engine.session import CUDA_PROVIDER, Session, first_line
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
_ADDITION: Final = bytes.fromhex(
    "08083a420a160a047465726d0a047465726d120373756d22034164641201675a120a047465726d120a0a080801"
    "12040a02080162110a0373756d120a0a08080112040a02080142040a001011"
)
"""A graph of one node, `sum = term + term`, float32 [1]; opset 17, IR 8: old enough for all."""
_DTYPES: Final = {"uint8": np.uint8, "int64": np.int64, "float": np.float32}
"""Of the inputs of graphs, as ONNX Runtime calls them."""
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
        encoder, step = open_encoder(), open_step()
        _run_once(encoder, graph_signature(GraphRole.ENCODER, config))
        _run_once(step, graph_signature(GraphRole.STEP, config))
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
    runtime = _import_runtime()

    def open_checked() -> Any:
        session = _new_session(runtime, device, read(role), role, threads)
        check_metadata(session, role, metadata(role))
        check_signature(session, role, graph_signature(role, config))
        return session

    return Session(open_checked, device=device)


def open_plain(graph: bytes, *, threads: int | None = None) -> Session:
    """Open a graph that belongs to no model, on the CPU: training's frozen CNN.

    Raises BundleError if ONNX Runtime refuses it.
    """
    new = partial(_new_session, _import_runtime(), CPU, graph, GraphRole.ENCODER)
    return Session(partial(new, threads or usable_cores()), device=CPU)


def _run_once(session: Session, signature: Signature) -> None:
    """Run on zeros: on CUDA the first run loads cuDNN and can fail. Raises DeviceError."""
    feeds = {
        each.name: np.zeros([size or 1 for size in each.shape], _DTYPES[each.dtype])
        for each in signature.inputs
    }
    session.run([each.name for each in signature.outputs], feeds)


@dataclass(frozen=True, kw_only=True)
class RuntimeFacts:
    """The ONNX Runtime that is installed here."""

    version: str
    providers: tuple[str, ...]
    """What it was built with; `try_device` checks what works here."""

    @property
    def has_cuda(self) -> bool:
        """Whether it was built for CUDA."""
        return CUDA_PROVIDER in self.providers


def import_ahead() -> None:
    """Import early; an ImportError surfaces later, where the runtime is needed."""
    with contextlib.suppress(DeviceError):
        _import_runtime()


def runtime_facts() -> RuntimeFacts:
    """Import the runtime and describe it. Raises DeviceError where it cannot be imported."""
    runtime = _import_runtime()
    providers = tuple(runtime.get_available_providers())
    return RuntimeFacts(version=str(runtime.__version__), providers=providers)


def try_device(device: Device) -> str:
    """Run a graph of one addition on a device; return the provider that ran it.

    Raises DeviceError where the device cannot be used, or adds wrongly.
    """
    runtime = _import_runtime()
    try:
        session = _new_session(runtime, device, _ADDITION, GraphRole.STEP, 1)
        (found,) = session.run(["sum"], {"term": np.array([21.0], np.float32)})
    except DeviceError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise DeviceError(
            f"{device} does not add two numbers ({first_line(error)}); reinstall onnxruntime"
        ) from error
    if found.tolist() != [42.0]:
        raise DeviceError(
            f"{device} answers {found.tolist()} to 21 + 21; check its driver, reinstall onnxruntime"
        )
    return str(session.get_providers()[0])


def _new_session(
    runtime: ModuleType, device: Device, graph: bytes, role: GraphRole, threads: int
) -> Any:
    make = partial(_session, runtime, graph, threads=threads)
    if device.kind is DeviceKind.CUDA:
        from mrnn_edge.engine.cuda import cuda_session  # a start on the CPU does without

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


def _import_runtime() -> ModuleType:
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
