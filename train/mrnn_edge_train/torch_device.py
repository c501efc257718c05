"""The device on which this process trains: the CPU, or one CUDA GPU.

The command chooses it once, from the request and the process's number under `torchrun`.
`TrainingData` carries the choice; computations run where the weights are. Networks are made on
the CPU and moved, so that a seed's first weights are the same on any device.
Knows no stage and no data.
"""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar

import torch
from torch import nn

from mrnn_edge.errors import DeviceError, OptionError
from mrnn_edge.machine import usable_cores
from mrnn_edge_train import distributed

CPU: Final = torch.device("cpu")

_REQUEST = re.compile(r"cpu|cuda(:(?P<index>\d+))?")
Batch = TypeVar("Batch")


class Weighted(Protocol):
    """An object with weights, like a torch module."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights, all on one device."""
        ...


def use_threads(threads: int | None) -> None:
    """Set PyTorch's number of threads; None: its own choice, within a container's quota."""
    torch.set_num_threads(threads or min(torch.get_num_threads(), usable_cores()))


def choose_device(request: str) -> torch.device:
    """The device that `cpu`, `cuda` or `cuda:N` names; a GPU is made current and tried.

    Under torchrun `cuda` is the GPU with the process's number on its machine. Raises OptionError
    for any other name, and for a GPU named by number where several processes need one each;
    DeviceError, with PyTorch's own reason, for a GPU that is not available.
    """
    found = _REQUEST.fullmatch(request)
    if not found:
        raise OptionError(f"device is {request!r}, expected cpu, cuda or cuda:N")
    if request == "cpu":
        return CPU
    number, beside = distributed.place()
    if found["index"] and beside > 1:
        raise OptionError(
            f"{request} is one GPU, but torchrun started {beside} processes here, each for a GPU "
            "of its own; use --device cuda"
        )
    index = int(found["index"] or number)
    count = _gpus(request)
    if index >= count:
        mend = f"; start {count} processes at most" if beside > 1 else ""
        raise DeviceError(
            f"cuda:{index} does not exist: PyTorch sees {count} GPUs, counted from cuda:0{mend}"
        )
    device = torch.device("cuda", index)
    try:
        torch.cuda.set_device(device)
        # Only running a kernel shows whether this PyTorch supports the GPU.
        torch.ones(1, device=device).add_(1.0).cpu()
    except RuntimeError as error:
        raise DeviceError(f"{device} does not compute: {_first_line(error)}") from None
    # By default convolutions, and they alone, round to ten bits where the recipe says float32.
    # This is the older of two settings: after the newer one, PyTorch 2.13 refuses to read this.
    torch.backends.cudnn.allow_tf32 = False
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device supports bfloat16. Others emulate it: a step of the CNN takes 14 times as
    long as in float32 (two cores with AVX2, PyTorch 2.13.0)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if device.type != "cpu" or capabilities is None:  # unknown: as the recipe says
        return True
    names = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16")  # the last one on ARM
    return any(capabilities().get(name, False) for name in names)


def _gpus(request: str) -> int:
    """How many GPUs PyTorch sees. Raises DeviceError if CUDA does not work."""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch leaves it so
    # AssertionError: a PyTorch that was built without CUDA.
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"{request} is not available: {_first_line(error)} (PyTorch {torch.__version__}); "
            "install a PyTorch with CUDA, and the driver, or train with --device cpu"
        ) from None
    return torch.cuda.device_count()


def device_of(network: Weighted) -> torch.device:
    """The device of a network's weights."""
    return next(iter(network.parameters())).device


def moved(batch: Batch, device: torch.device) -> Batch:
    """A dataclass of tensors of any shape and dtype, moved to the device."""
    fields = dataclasses.fields(batch)  # type: ignore[arg-type]  # any dataclass
    tensors = {field.name: getattr(batch, field.name).to(device) for field in fields}
    return dataclasses.replace(batch, **tensors)  # type: ignore[type-var]  # the same


def device_name(device: torch.device) -> str:
    """For run.json: `cpu`, or `cuda:0` and the name of the GPU."""
    if device.type == CPU.type:
        return str(device)
    return f"{device}, {_module(device).get_device_name(device)}"


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of torch's generators: the CPU's, and the device's own if it has one.

    uint8 [N] each; with several processes [P, N], on all of them.
    """
    states = {"random": torch.get_rng_state()}
    if device.type != CPU.type:
        states["random_device"] = _module(device).get_rng_state(device)
    return {name: distributed.gathered(state) for name, state in states.items()}


def set_random_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """The inverse, for this process; a device's generator without a stored state is left alone.

    uint8 [N] each, [P, N] with several processes. Raises KeyError if the CPU's state is missing.
    """
    torch.set_rng_state(distributed.own(states["random"]))
    if device.type != CPU.type and "random_device" in states:
        _module(device).set_rng_state(distributed.own(states["random_device"]), device)


@contextmanager
def device_failures(device: torch.device) -> Iterator[None]:
    """Raise DeviceError in place of torch's errors when a GPU fails during a run."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"{device} has too little memory ({_first_line(error)}); use fewer sentences or "
            "pictures a step"
        ) from error
    except torch.AcceleratorError as error:
        raise DeviceError(
            f"{device} failed ({_first_line(error)}); continue with --resume, on the CPU if it "
            "fails again"
        ) from error


def _module(device: torch.device) -> Any:
    """`torch.cuda` for a GPU."""
    return torch.get_device_module(device)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
