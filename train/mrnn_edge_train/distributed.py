"""Several processes that train one network: those that `torchrun` starts.

What lies on the CPU goes from one to the other over gloo; on GPUs, one a process, gradients go over
nccl.

A process alone is the first of one, and nothing here does anything to it. Each process computes the
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
"""The others wait so long for the first, which computes vectors and measures. Gloo notices a
process that dies at once, by its closed connection; of nccl, torchrun ends those that are left."""
_LETTING_GO = 0.5
"""Seconds at the end, in which gloo's threads let go of the last tensors. They hold them for a
moment after a collective has returned (of 20,000 a fourth, when looked at), and need the
interpreter to let go; once that is ending they abort the process: "terminate called without an
active exception"."""


def place() -> tuple[int, int]:
    """The number of this process among those that `torchrun` started on this machine, and theirs.

    Known before they are joined; (0, 1) where it did not start this one.
    """
    number, count = (os.environ.get(name) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    return int(number or 0), int(count or 1)


def join(device: torch.device) -> None:
    """Join the processes that `torchrun` started, this one computing on the device.

    Nothing where it did not start this one. Raises DeviceError for GPUs where PyTorch has no nccl.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    if device.type == "cpu":
        distributed.init_process_group("gloo", timeout=_LONGEST)
    elif distributed.is_nccl_available():
        # With its device named, nccl connects at once and says at once what is wrong.
        backends = "cpu:gloo,cuda:nccl"
        distributed.init_process_group(backends, timeout=_LONGEST, device_id=device)
    else:
        raise DeviceError(
            "several processes on GPUs need nccl, which this PyTorch was built without; leave "
            "torchrun out, or train with --device cpu"
        )
    atexit.register(_leave)


def _leave() -> None:
    time.sleep(_LETTING_GO)
    distributed.destroy_process_group()


def size() -> int:
    """How many processes train together."""
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
    """A process's part of a batch that all processes know."""

    items: slice
    """What it computes, never nothing: gradients are awaited of every process."""
    stands_in: bool
    """Whether the batch has nothing left for it, and its items are another's."""

    def weight(self, words: Sequence[int]) -> float:
        """By which its mean over words counts in the mean over all processes' means.

        `words` are those of each item of the whole batch; the means then make that of the batch.
        """
        return 0.0 if self.stands_in else sum(words[self.items]) * size() / sum(words)


def share(count: int) -> Share:
    """This process's part of a batch of so many items."""
    stands_in = rank() >= count
    items = slice(0, 1) if stands_in else slice(rank(), None, size())
    return Share(items=items, stands_in=stands_in)


def parallel(network: nn.Module) -> nn.Module:
    """The network, its gradients the mean over all processes, its weights the first one's."""
    if size() == 1:
        return network
    return nn.parallel.DistributedDataParallel(network)


def mean(value: Tensor) -> Tensor:
    """Of a number of each process, the same on all of them."""
    if size() == 1:
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total / size()


def any_of(wish: bool) -> bool:
    """Whether any process wishes it."""
    if size() == 1:
        return wish
    wishes = torch.tensor(int(wish))
    distributed.all_reduce(wishes)
    return bool(wishes)


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, on all of them."""
    if size() == 1:
        return make()
    box: list[Any] = [make() if is_first() else None]
    distributed.broadcast_object_list(box)
    return cast(T, box[0])


def gathered(part: Tensor) -> Tensor:
    """A tensor [N] of each process, as long on all of them -> [P, N]; of one process as it is."""
    if size() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(size())]
    distributed.all_gather(parts, part)
    return torch.stack(parts)


def own(parts: Tensor) -> Tensor:
    """The inverse, for this process."""
    # Of a view torch's generators take the storage's first bytes, or crash: each gets a copy.
    return parts if size() == 1 else parts[rank()].clone()


def wait() -> None:
    """Until all processes are here."""
    # A barrier would be nccl's on GPUs, which does not notice a process that has died.
    any_of(False)


@contextmanager
def in_turn() -> Iterator[None]:
    """The first process goes before the others, which find what it leaves; or fail as it does."""
    if not is_first():
        wait()
    try:
        yield
    finally:
        if is_first():
            wait()
