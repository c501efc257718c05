"""ONNX Runtime, and the only importer of it: devices, session options, honesty about both.

Takes the bytes of the graphs and a device, gives the open pair (graphs.py). A device that was
asked for is had or refused, never replaced in silence: ONNX Runtime itself falls back to the CPU
without an exception, and its list of providers names what was compiled in, not what works here.
"""

import contextlib
import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import ModuleType
from typing import Any, Final, TypeAlias, cast

from mrnn_edge.config import BundleConfig, GraphRole
from mrnn_edge.errors import BundleError, DeviceError, OptionError, install_command
from mrnn_edge.graphs import (
    EncoderGraph,
    GradientGraph,
    StepGraph,
    check_metadata,
    check_signature,
    encoder_signature,
    first_line,
    gradient_signature,
    step_signature,
)

_CUDA_PROVIDER = "CUDAExecutionProvider"
_CPU_PROVIDER = "CPUExecutionProvider"
_REQUEST = re.compile(r"auto|cpu|cuda(:\d+)?")
MAX_THREADS: Final = 256
"""ONNX Runtime makes as many as it is asked for, until the machine can start no process more."""
_STEP_THREADS = 1
"""The step multiplies 1.5 million numbers. A pool of its own would go on spinning into the next
picture and take the encoder's cores: with two threads for the step a caption took 30.2 ms on two
cores, 19.2 of them the encoder; with one 14.2, the encoder 7.4 (benchmarks/latency.py)."""
_ERRORS, _FATAL = 3, 4
"""Severities of ONNX Runtime's log."""
_WARNINGS = 2
"""The severity that ONNX Runtime starts with."""


class DeviceKind(StrEnum):
    """Where graphs run."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class Device:
    """The execution device of a captioner's graphs."""

    kind: DeviceKind
    index: int = 0

    def __str__(self) -> str:
        return f"cuda:{self.index}" if self.kind is DeviceKind.CUDA else "cpu"


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """The open pair, and where it runs."""

    encoder: EncoderGraph
    step: StepGraph
    device: Device
    threads: int
    """Calls of the step that may usefully run at a time: the CPU threads; 1 on CUDA."""
    notice: str | None
    """Why `auto` did not take CUDA though this runtime was built for it; for people."""


def open_graphs(
    config: BundleConfig,
    *,
    read: Callable[[GraphRole], bytes],
    metadata: Callable[[GraphRole], Mapping[str, str]],
    device: str = "auto",
    threads: int | None = None,
) -> Graphs:
    """Open both graphs on one device and hold them to their contract.

    `device` is `auto`, `cpu`, `cuda` or `cuda:N`; `threads` defaults to the cores that this
    process may use. Raises DeviceError, BundleError, SignatureError or VocabularyMismatchError.
    """
    if not _REQUEST.fullmatch(device):
        raise OptionError(f"device is {device!r}, expected auto, cpu, cuda or cuda:N")
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise OptionError(f"threads is {threads}, expected 1 to {MAX_THREADS}")
    runtime = _import_runtime()
    cores = threads or _usable_cores()

    def open_on(target: Device) -> Graphs:
        opened = {}
        open_session = _session_opener(runtime, target)
        for role, signature, count in (
            (GraphRole.ENCODER, encoder_signature(config), cores),
            (GraphRole.STEP, step_signature(config), _STEP_THREADS),
        ):
            session = open_session(read(role), role, count)
            check_metadata(session, role, metadata(role))
            check_signature(session, role, signature)
            opened[role] = session
        return Graphs(
            encoder=EncoderGraph(opened[GraphRole.ENCODER]),
            step=StepGraph(opened[GraphRole.STEP], vocabulary=config.sizes.vocabulary),
            device=target,
            threads=cores if target.kind is DeviceKind.CPU else 1,
            notice=None,
        )

    cpu = Device(kind=DeviceKind.CPU)
    has_cuda = _CUDA_PROVIDER in runtime.get_available_providers()
    if device == "cpu" or (device == "auto" and not has_cuda):
        return open_on(cpu)
    cuda = Device(kind=DeviceKind.CUDA, index=int(device.partition(":")[2] or 0))
    if not has_cuda:
        raise DeviceError(
            f"{cuda} was asked for, but the ONNX Runtime installed here ({runtime.__version__}) "
            f"has no CUDA; {install_command('gpu')} in place of [cpu], or use --device cpu"
        )
    try:
        return open_on(cuda)
    except DeviceError as error:
        if device != "auto":
            raise
        return replace(open_on(cpu), notice=str(error))


def open_gradient(
    config: BundleConfig,
    *,
    read: Callable[[GraphRole], bytes],
    metadata: Callable[[GraphRole], Mapping[str, str]],
) -> GradientGraph:
    """Open the gradient graph and hold it to its contract.

    Always on the CPU: it runs once a word of a query, for one image vector. Raises BundleError,
    SignatureError or VocabularyMismatchError.
    """
    role = GraphRole.GRADIENT
    open_session = _session_opener(_import_runtime(), Device(kind=DeviceKind.CPU))
    session = open_session(read(role), role, _STEP_THREADS)
    check_metadata(session, role, metadata(role))
    check_signature(session, role, gradient_signature(config))
    return GradientGraph(session, vocabulary=config.sizes.vocabulary)


_Provider: TypeAlias = str | tuple[str, dict[str, str]]
_Opener = Callable[[bytes, GraphRole, int], Any]


def _session_opener(runtime: ModuleType, device: Device) -> _Opener:
    """A function from a graph's bytes, its role and a thread count to a session on the device."""
    if device.kind is DeviceKind.CUDA:
        return _cuda_opener(runtime, device)

    def open_session(graph: bytes, role: GraphRole, threads: int) -> Any:
        options = _options(runtime, threads, _ERRORS)
        try:
            return _session(runtime, graph, options, _CPU_PROVIDER)
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise BundleError(
                f"ONNX Runtime {runtime.__version__} refuses the {role} graph "
                f"({first_line(error)}); upgrade onnxruntime or export the model anew"
            ) from error

    return open_session


def _cuda_opener(runtime: ModuleType, device: Device) -> _Opener:
    unloaded = _preload_cuda(runtime)
    provider = (_CUDA_PROVIDER, {"device_id": str(device.index)})

    def open_session(graph: bytes, role: GraphRole, threads: int) -> Any:
        options = _options(runtime, threads, _FATAL)
        # Without this switch a CUDA that cannot be loaded gives a CPU session and no exception.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        # What goes wrong here is raised, in one line; the log would add a screen to it.
        runtime.set_default_logger_severity(_FATAL)
        try:
            session = _session(runtime, graph, options, provider)
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise _refused(device, unloaded or first_line(error)) from error
        finally:
            runtime.set_default_logger_severity(_WARNINGS)
        got = session.get_providers()[0]
        if got != _CUDA_PROVIDER:
            raise _refused(device, unloaded or f"ONNX Runtime chose {got}")
        return session

    return open_session


def _session(runtime: ModuleType, graph: bytes, options: Any, provider: _Provider) -> Any:
    """A session on one provider that is what its bytes and these options make it, and no more."""
    session = runtime.InferenceSession(
        graph,
        options,
        providers=[provider],
        enable_fallback=0,  # tries a refused graph again and says so on standard output
        read_config_from_model=0,  # a graph's metadata would set options of the session
    )
    # The wrapper would keep the file's bytes for that fallback as long as the session lives.
    session._model_bytes = None
    return session


def _refused(device: Device, cause: str) -> DeviceError:
    return DeviceError(
        f"{device} does not work here ({cause}); check the driver with nvidia-smi, "
        f"{install_command('gpu')}, or use --device cpu"
    )


def _preload_cuda(runtime: ModuleType) -> str | None:
    """Load CUDA's libraries from its pip packages; returns what could not be loaded, in one line.

    ONNX Runtime prints that to standard output, where data goes, and returns nothing.
    """
    with contextlib.redirect_stdout(io.StringIO()) as said:
        runtime.preload_dlls()
    return next((line for line in said.getvalue().splitlines() if "Failed" in line), None)


def _options(runtime: ModuleType, threads: int, severity: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = severity
    return options


def _import_runtime() -> ModuleType:
    try:
        import onnxruntime

        onnxruntime.InferenceSession  # noqa: B018  # absent where one of two wheels was uninstalled
    except (ImportError, AttributeError) as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({error}); {install_command('cpu')} "
            "(or [gpu] for NVIDIA CUDA, not both)"
        ) from None
    return cast(ModuleType, onnxruntime)


def _usable_cores() -> int:
    # The affinity mask is right inside containers and under taskset, the core count is not.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
