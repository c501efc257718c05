"""Several processes, started by `torchrun`, that train one network.

CPU tensors are exchanged over gloo; with GPUs, one for each process, gradients go over nccl.

For a single process everything here is a no-op. Each process computes the
cost of its share of a batch, DistributedDataParallel takes the mean of their gradients, and the
first process alone measures and writes. Knows no stage and no data.
"""

import atexit
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from mrnn_edge.errors import DeviceError

T = TypeVar("T")
_LONGEST = timedelta(days=1)
"""How long the others wait for the first, which computes vectors and measures. Gloo notices a dead
process at once, by its closed connection; with nccl, torchrun ends the remaining ones."""
_LETTING_GO = 0.5
"""Seconds at exit in which gloo's threads release the last tensors. They hold them for a moment
after a collective has returned (a quarter of 20,000 did), and need the interpreter to release them;
while it exits they abort the process: "terminate called without an active exception"."""


def place() -> tuple[int, int]:
    """The number of this process on this machine, and how many `torchrun` started there.

    Known before `join`; (0, 1) without torchrun.
    """
    number, count = (os.environ.get(name) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    return int(number or 0), int(count or 1)


def join(device: torch.device) -> None:
    """Join the processes that `torchrun` started, this one computing on the device.

    Does nothing without torchrun. Raises DeviceError for GPUs if PyTorch has no nccl.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    if device.type == "cpu":
        distributed.init_process_group("gloo", timeout=_LONGEST)
    elif distributed.is_nccl_available():
        # With a device id, nccl connects now and fails now.
        backends = "cpu:gloo,cuda:nccl"
        distributed.init_process_group(backends, timeout=_LONGEST, device_id=device)
    else:
        raise DeviceError(
            "several processes on GPUs need nccl, which this PyTorch was built without; train "
            "without torchrun, or train with --device cpu"
        )
    atexit.register(_leave)


def _leave() -> None:
    time.sleep(_LETTING_GO)
    distributed.destroy_process_group()


def size() -> int:
    """The number of processes."""
    joined = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if joined else 1


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if size() > 1 else 0


def is_first() -> bool:
    """Whether this process is the one that measures and writes."""
    return rank() == 0


@dataclass(frozen=True, kw_only=True)
class Share:
    """A process's part of a batch that all processes share."""

    items: slice
    """The items to compute, at least one: every process must contribute a gradient."""
    stands_in: bool
    """Whether the batch is too small, and the item is a duplicate that counts as 0."""

    def weight(self, words: Sequence[int]) -> float:
        """The weight of its mean over words in the mean over all processes.

        `words` are the counts of each item of the whole batch; the result is the batch's mean.
        """
        return 0.0 if self.stands_in else sum(words[self.items]) * size() / sum(words)


def share(count: int) -> Share:
    """This process's part of a batch of so many items."""
    stands_in = rank() >= count
    items = slice(0, 1) if stands_in else slice(rank(), None, size())
    return Share(items=items, stands_in=stands_in)


def parallel(network: nn.Module) -> nn.Module:
    """The network with gradients averaged over all processes, and the first one's weights."""
    if size() == 1:
        return network
    return nn.parallel.DistributedDataParallel(network)


def mean(value: Tensor) -> Tensor:
    """The mean of a scalar over all processes, on all of them."""
    if size() == 1:
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total / size()


def any_of(value: bool) -> bool:
    """Whether it is true on any process."""
    if size() == 1:
        return value
    total = torch.tensor(int(value))
    distributed.all_reduce(total)
    return bool(total)


def from_first(make: Callable[[], T]) -> T:
    """The result of `make` on the first process, on all of them."""
    if size() == 1:
        return make()
    box: list[Any] = [make() if is_first() else None]
    distributed.broadcast_object_list(box)
    return cast(T, box[0])


def gathered(part: Tensor) -> Tensor:
    """[N] of each process, of equal length and any dtype -> [P, N]; unchanged for one process."""
    if size() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(size())]
    distributed.all_gather(parts, part)
    return torch.stack(parts)


def own(parts: Tensor) -> Tensor:
    """The inverse of `gathered`, for this process: [P, N] -> [N]."""
    # A copy: given a view, torch's generators read the start of its storage, or crash.
    return parts if size() == 1 else parts[rank()].clone()


def wait() -> None:
    """Wait for all processes."""
    # On GPUs a barrier would use nccl, which does not notice a dead process.
    any_of(False)


@contextmanager
def in_turn() -> Iterator[None]:
    """The first process runs the block before the others, which find its results, or fail too."""
    if not is_first():
        wait()
    try:
        yield
    finally:
        if is_first():
            wait()
