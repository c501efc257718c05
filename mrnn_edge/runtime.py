"""ONNX Runtime, and the only importer of it: devices, session options, graph contracts.

Takes a graph's bytes and a device, gives a callable graph whose inputs and outputs were checked.
A device that was asked for is had or refused, never replaced in silence: ONNX Runtime itself falls
back to the CPU without an exception, and its list of providers names what was compiled in, not
what works here. Knows no words and no search.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.config import BundleConfig, GraphRole
from mrnn_edge.decode import Floats, Ids
from mrnn_edge.errors import (
    BundleError,
    DeviceError,
    MrnnEdgeError,
    NumericalError,
    OptionError,
    SignatureError,
    VocabularyMismatchError,
)

_CUDA_PROVIDER = "CUDAExecutionProvider"
_CPU_PROVIDER = "CPUExecutionProvider"
_REQUEST = re.compile(r"auto|cpu|cuda(:\d+)?")
_INSTALL = "run: pip install 'mrnn-edge[{extra}]'"
_STEP_THREADS = 2
"""The step multiplies 1.5 million numbers: more threads than this cost more than they bring."""


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
class Tensor:
    """One input or output of a graph. `None` in a shape is the batch."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("B" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype} [{sizes}]"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Inputs and outputs of a graph, in order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def __str__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        return f"{inputs} -> {', '.join(map(str, self.outputs))}"


def encoder_signature(config: BundleConfig) -> Signature:
    """Pixels uint8 [B, H, W, 3] -> image float32 [B, M]."""
    pixels = (None, config.image.height, config.image.width, 3)
    return Signature(
        inputs=(Tensor(name="pixels", dtype="uint8", shape=pixels),),
        outputs=(Tensor(name="image", dtype="float", shape=(None, config.sizes.image)),),
    )


def step_signature(config: BundleConfig) -> Signature:
    """token int64 [B], state [B, R], image [B, M] -> log_probs [B, V], next_state [B, R]."""
    sizes = config.sizes
    return Signature(
        inputs=(
            Tensor(name="token", dtype="int64", shape=(None,)),
            Tensor(name="state", dtype="float", shape=(None, sizes.state)),
            Tensor(name="image", dtype="float", shape=(None, sizes.image)),
        ),
        outputs=(
            Tensor(name="log_probs", dtype="float", shape=(None, sizes.vocabulary)),
            Tensor(name="next_state", dtype="float", shape=(None, sizes.state)),
        ),
    )


class EncoderGraph:
    """The CNN with V_I: pixels to image vectors."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, pixels: NDArray[np.uint8]) -> Floats:
        """uint8 [B, H, W, 3] -> float32 [B, M]. Raises NumericalError if one is not finite."""
        image: Floats
        (image,) = _run(self._session, ["image"], {"pixels": pixels})
        bad = np.flatnonzero(~np.isfinite(image).all(axis=1))
        if len(bad):
            raise NumericalError(
                f"the encoder gave numbers that are not finite for picture {bad[0]} of the batch; "
                "check the model with `mrnn-edge verify`"
            )
        return image


class StepGraph:
    """One recurrent step; a StepFunction of decode.py."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, token: Ids, state: Floats, image: Floats) -> tuple[Floats, Floats]:
        """int64 [B], float32 [B, R], float32 [B, M] -> log_probs [B, V], next_state [B, R].

        The lengths must agree: ONNX Runtime would broadcast them and answer with nonsense.
        """
        if not len(token) == len(state) == len(image):
            raise ValueError(
                f"{len(token)} tokens, {len(state)} states and {len(image)} images; "
                "expected one of each a hypothesis"
            )
        feeds = {"token": token, "state": state, "image": image}
        log_probs, next_state = _run(self._session, ["log_probs", "next_state"], feeds)
        return log_probs, next_state


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """The open pair, and where it runs."""

    encoder: EncoderGraph
    step: StepGraph
    device: Device
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
    if threads is not None and threads < 1:
        raise OptionError(f"threads is {threads}, expected 1 or more")
    runtime = _import_runtime()
    cores = threads or _usable_cores()

    def open_on(target: Device) -> Graphs:
        opened = {}
        for role, signature, count in (
            (GraphRole.ENCODER, encoder_signature(config), cores),
            (GraphRole.STEP, step_signature(config), min(cores, _STEP_THREADS)),
        ):
            session = _open_session(runtime, read(role), role, target, count)
            _check_metadata(session, role, metadata(role))
            _check_signature(session, role, signature)
            opened[role] = session
        return Graphs(
            encoder=EncoderGraph(opened[GraphRole.ENCODER]),
            step=StepGraph(opened[GraphRole.STEP]),
            device=target,
            notice=None,
        )

    cpu = Device(kind=DeviceKind.CPU)
    if device == "cpu":
        return open_on(cpu)
    if device == "auto" and _CUDA_PROVIDER not in runtime.get_available_providers():
        return open_on(cpu)
    cuda = Device(kind=DeviceKind.CUDA, index=int(device.partition(":")[2] or 0))
    try:
        return open_on(cuda)
    except DeviceError as error:
        if device != "auto":
            raise
        return replace(open_on(cpu), notice=str(error))


def _import_runtime() -> ModuleType:
    try:
        runtime = import_module("onnxruntime")
        runtime.InferenceSession  # noqa: B018  # absent where one of two wheels was uninstalled
    except (ImportError, AttributeError) as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({error}); {_INSTALL.format(extra='cpu')} "
            "(or [gpu] for NVIDIA CUDA, not both)"
        ) from None
    return runtime


def _usable_cores() -> int:
    # The affinity mask is right inside containers and under taskset, the core count is not.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open_session(
    runtime: ModuleType, graph: bytes, role: GraphRole, device: Device, threads: int
) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers: list[Any] = [_CPU_PROVIDER]
    if device.kind is DeviceKind.CUDA:
        if _CUDA_PROVIDER not in runtime.get_available_providers():
            raise DeviceError(
                f"{device} was asked for, but the ONNX Runtime installed here "
                f"({runtime.__version__}) has no CUDA; {_INSTALL.format(extra='gpu')} "
                "in place of [cpu], or use --device cpu"
            )
        # Without this switch a CUDA that cannot be loaded gives a CPU session and no exception.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        providers = [(_CUDA_PROVIDER, {"device_id": str(device.index)})]
        if hasattr(runtime, "preload_dlls"):
            runtime.preload_dlls()
    try:
        session = runtime.InferenceSession(graph, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        if device.kind is DeviceKind.CUDA:
            raise DeviceError(
                f"{device} cannot run the {role} graph ({_first_line(error)}); check the driver "
                f"with nvidia-smi, {_INSTALL.format(extra='gpu')}, or use --device cpu"
            ) from error
        raise BundleError(
            f"ONNX Runtime {runtime.__version__} refuses the {role} graph "
            f"({_first_line(error)}); upgrade onnxruntime or export the model anew"
        ) from error
    got = session.get_providers()[0]
    if got != (providers[0] if device.kind is DeviceKind.CPU else _CUDA_PROVIDER):
        raise DeviceError(
            f"{device} was asked for, ONNX Runtime chose {got}; check the driver with nvidia-smi, "
            f"{_INSTALL.format(extra='gpu')}, or use --device cpu"
        )
    return session


def _check_metadata(session: Any, role: GraphRole, expected: Mapping[str, str]) -> None:
    found = session.get_modelmeta().custom_metadata_map
    for key, value in expected.items():
        if found.get(key) == value:
            continue
        error = VocabularyMismatchError if key == "vocabulary_sha256" else BundleError
        raise error(
            f"the {role} graph carries {key} {found.get(key, 'nothing')!r}, this bundle's is "
            f"{value!r}; take all files of the model from one export"
        )


def _check_signature(session: Any, role: GraphRole, expected: Signature) -> None:
    found = Signature(
        inputs=tuple(map(_tensor, session.get_inputs())),
        outputs=tuple(map(_tensor, session.get_outputs())),
    )
    if found != expected:
        raise SignatureError(
            f"the {role} graph is {found}, expected {expected}; export the model anew"
        )


def _tensor(info: Any) -> Tensor:
    dtype = str(info.type).removeprefix("tensor(").removesuffix(")")
    sizes: Sequence[Any] = info.shape
    shape = tuple(size if isinstance(size, int) else None for size in sizes)
    return Tensor(name=info.name, dtype=dtype, shape=shape)


def _run(session: Any, outputs: list[str], feeds: dict[str, Any]) -> list[Any]:
    try:
        return list(session.run(outputs, feeds))
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise MrnnEdgeError(
            f"ONNX Runtime failed ({_first_line(error)}); report this with `mrnn-edge info`"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
