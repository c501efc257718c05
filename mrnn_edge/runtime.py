"""ONNX Runtime, and the only importer of it: devices, session options, honesty about both.

Takes the bytes of the graphs and a placement, gives the open pair (graphs.py). A device that was
asked for is had or refused, never replaced in silence: ONNX Runtime itself falls back to the CPU
without an exception, and its list of providers names what was compiled in, not what works here.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final, TypeAlias, cast

import numpy as np

from mrnn_edge.beams import SearchSpace
from mrnn_edge.config import BundleConfig, GraphRole, Precision
from mrnn_edge.device import CPU, ON_CPU, Device, DeviceKind, Placement, usable_cores
from mrnn_edge.errors import BundleError, DeviceError, OptionError, install_command
from mrnn_edge.graphs import (
    EncoderGraph,
    GradientGraph,
    Signature,
    StepGraph,
    check_metadata,
    check_signature,
    encoder_signature,
    gradient_signature,
    step_signature,
)
from mrnn_edge.session import CUDA_PROVIDER, Session, first_line
from mrnn_edge.threads import Started

_CPU_PROVIDER = "CPUExecutionProvider"
MAX_THREADS: Final = 256
"""ONNX Runtime makes as many as it is asked for, until the machine can start no process more."""
_STEP_THREADS = 1
"""The step multiplies 1.1 million numbers. A pool of its own gains it little, goes on spinning into
the next picture and takes the encoder's cores (benchmarks/threads.py, docs/runtime.md)."""
_LOOP_THREADS: Final = {Precision.FLOAT32: 2, Precision.INT8: 1}
"""At most, for all steps of a sentence in one run: nothing spins between them. The 4.4 MB of
float weights that a step reads are more than a core's own cache; half of them nearly fit, as do all
of int8's. Beside a busy neighbour the second thread brings nothing (docs/runtime.md)."""
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

    encoder: EncoderGraph
    step: StepGraph
    placement: Placement
    precision: Precision
    threads: int
    """Calls of the step that may usefully run at a time: the CPU threads; 1 on CUDA."""
    concurrency: int
    """Calls of the encoder that share these threads, each on its part of them; 1 on CUDA."""
    notice: str | None = None
    """What `auto` took and why, where this runtime was built for CUDA; for people."""

    @property
    def device(self) -> Device:
        """Of the encoder, and of the step but in a mixture."""
        return self.placement.encoder


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What opens a model's graphs: the contract, and where bytes and metadata come from."""

    config: BundleConfig
    read: Callable[[GraphRole], bytes]
    metadata: Callable[[GraphRole], Mapping[str, str]]

    def open_graph(
        self, role: GraphRole, runtime: ModuleType, *, device: Device, threads: int
    ) -> Session:
        """The graph of a role, held to its contract each time that it is opened."""
        opener = _session_opener(runtime, device)
        signatures = {
            GraphRole.ENCODER: encoder_signature,
            GraphRole.STEP: step_signature,
            GraphRole.GRADIENT: gradient_signature,
        }

        def opened() -> Any:
            session = opener(self.read(role), role, threads)
            check_metadata(session, role, self.metadata(role))
            check_signature(session, role, signatures[role](self.config))
            return session

        return Session(opened, device=device)


def open_graphs(
    config: BundleConfig,
    *,
    read: Callable[[GraphRole], bytes],
    metadata: Callable[[GraphRole], Mapping[str, str]],
    placement: Placement = ON_CPU,
    precision: Precision = Precision.FLOAT32,
    threads: int | None = None,
    concurrency: int = 1,
) -> Graphs:
    """Open both graphs where they shall run and hold them to their contract.

    `precision` is what the bytes that `read` gives compute in; `threads` defaults to the cores that
    this process may use; `concurrency` is the calls that will come at a time: the threads are
    shared out among them, for a call on a core of its own waits for no other core. `read` is called
    again where a run fails and the graph is opened anew. Raises OptionError, DeviceError,
    BundleError, SignatureError or VocabularyMismatchError.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise OptionError(f"threads is {threads}, expected 1 to {MAX_THREADS}")
    if concurrency < 1:
        raise OptionError(f"concurrency is {concurrency}, expected 1 or more")
    runtime = _import_runtime()
    model = _Model(config=config, read=read, metadata=metadata)
    cores = threads or usable_cores()
    at_once = min(concurrency, cores)

    def open_encoder() -> Session:
        return model.open_graph(
            GraphRole.ENCODER, runtime, device=placement.encoder, threads=cores // at_once
        )

    def open_step() -> Session:
        return model.open_graph(
            GraphRole.STEP, runtime, device=placement.step, threads=_STEP_THREADS
        )

    if placement == ON_CPU:
        # Beside the encoder, which takes longer. On CUDA the log's severity is everybody's.
        opening = Started(open_step, name="open step")
        try:
            encoder = open_encoder()
        finally:
            opening.join()
        step = opening.wait()
    else:
        encoder, step = open_encoder(), open_step()
        _run_once(encoder, encoder_signature(config))
        _run_once(step, step_signature(config))
    return Graphs(
        encoder=EncoderGraph(encoder, encoder_signature(config)),
        step=StepGraph(step, step_signature(config), vocabulary=config.sizes.vocabulary),
        placement=placement,
        precision=precision,
        threads=cores if placement.step.kind is DeviceKind.CPU else 1,
        concurrency=at_once if placement.encoder.kind is DeviceKind.CPU else 1,
    )


def open_plain(graph: bytes, *, threads: int | None = None) -> Session:
    """Open a graph that is no model's, on the CPU: a CNN that training reads pictures with.

    Raises BundleError where ONNX Runtime refuses it.
    """
    opener = _session_opener(_import_runtime(), CPU)
    return Session(lambda: opener(graph, GraphRole.ENCODER, threads or usable_cores()), device=CPU)


def _run_once(session: Session, signature: Signature) -> None:
    """Opened on CUDA is not yet working: cuDNN is loaded by the first run. Raises DeviceError."""
    if session.device.kind is DeviceKind.CUDA:
        feeds = {
            each.name: np.zeros([size or 1 for size in each.shape], _DTYPES[each.dtype])
            for each in signature.inputs
        }
        session.run([each.name for each in signature.outputs], feeds)


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
    model = _Model(config=config, read=read, metadata=metadata)
    session = model.open_graph(
        GraphRole.GRADIENT, _import_runtime(), device=CPU, threads=_STEP_THREADS
    )
    return GradientGraph(session, gradient_signature(config), vocabulary=config.sizes.vocabulary)


def open_greedy(
    config: BundleConfig,
    *,
    read: Callable[[GraphRole], bytes],
    precision: Precision,
    space: SearchSpace,
    rows: int,
    threads: int,
) -> Session:
    """Open the step graph in a loop of ONNX Runtime's own (greedy_graph.py), on the CPU.

    `precision` is what the bytes compute in, `rows` are the image vectors of a run, `threads` what
    a run may use. Raises BundleError, or ValueError as greedy_graph does.
    """
    from mrnn_edge.greedy_graph import greedy_graph  # not at a start, which does without

    opener = _session_opener(_import_runtime(), CPU)

    def opened() -> Any:
        step = read(GraphRole.STEP)
        graph = greedy_graph(step, space, vocabulary=config.sizes.vocabulary, rows=rows)
        del step
        return opener(graph, GraphRole.STEP, min(threads, _LOOP_THREADS[precision]))

    return Session(opened, device=CPU)


@dataclass(frozen=True, kw_only=True)
class RuntimeFacts:
    """The ONNX Runtime that is installed here."""

    version: str
    providers: tuple[str, ...]
    """What it was built with; whether that works here, `try_device` tells."""

    @property
    def has_cuda(self) -> bool:
        """Whether it was built for CUDA."""
        return CUDA_PROVIDER in self.providers


def import_ahead() -> None:
    """Import the runtime now; where it cannot be imported, whoever needs it hears of that."""
    with contextlib.suppress(DeviceError):
        _import_runtime()


def runtime_facts() -> RuntimeFacts:
    """Import the runtime and ask what it is. Raises DeviceError where it cannot be imported."""
    runtime = _import_runtime()
    providers = tuple(runtime.get_available_providers())
    return RuntimeFacts(version=str(runtime.__version__), providers=providers)


def try_device(device: Device) -> str:
    """Run a graph of one addition on a device; returns the provider that ran it.

    Raises DeviceError where the device cannot be had, or adds wrongly.
    """
    runtime = _import_runtime()
    opener = _session_opener(runtime, device)
    try:
        session = opener(_ADDITION, GraphRole.STEP, 1)
        (found,) = session.run(["sum"], {"term": np.array([21.0], np.float32)})
    except DeviceError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise DeviceError(
            f"{device} does not add two numbers ({first_line(error)}); install onnxruntime anew"
        ) from error
    if found.tolist() != [42.0]:
        raise DeviceError(
            f"{device} answers {found.tolist()} to 21 + 21; check its driver, install "
            "onnxruntime anew"
        )
    return str(session.get_providers()[0])


_Provider: TypeAlias = str | tuple[str, dict[str, str]]
_Opener = Callable[[bytes, GraphRole, int], Any]


def _session_opener(runtime: ModuleType, device: Device) -> _Opener:
    """A function from a graph's bytes, its role and a thread count to a session on the device."""
    if device.kind is DeviceKind.CUDA:
        from mrnn_edge.cuda import cuda_opener  # not at a start, which does without

        return cuda_opener(runtime, device, partial(_session, runtime))

    def open_session(graph: bytes, role: GraphRole, threads: int) -> Any:
        try:
            return _session(
                runtime,
                graph,
                _CPU_PROVIDER,
                threads=threads,
                severity=_ERRORS,
                # Between two runs the threads would go on spinning and take the loop's cores.
                setting="session.force_spinning_stop",
            )
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise BundleError(
                f"ONNX Runtime {runtime.__version__} refuses the {role} graph "
                f"({first_line(error)}); upgrade onnxruntime or export the model anew"
            ) from error

    return open_session


def _session(
    runtime: ModuleType,
    graph: bytes,
    provider: _Provider,
    *,
    threads: int,
    severity: int,
    setting: str,
) -> Any:
    """A session on one provider that is what its bytes and these options make it, and no more.

    `setting` is switched on beside what all sessions have.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = severity
    # Left to choose, it would take what wire.py has read as ONNX for a flatbuffer of its own.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry(setting, "1")
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
