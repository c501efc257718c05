"""All that a training run needs to go on as if it had never stopped, in one file.

checkpoint.safetensors holds the network, its moving average, Adam's two moments of each parameter
and the random generators; its header says how far the run is. Written beside, synced and renamed:
it is whole or it is the one before, which is kept as well: where the last one cannot be read, a run
goes on from that, to the same end, as all that follows is computed anew. Batches need no entry:
they follow from seed, epoch and step. No entry knows a device: what a GPU wrote goes on anywhere.

best.safetensors, beside it, holds the weights alone, those of the best epoch so far.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from mrnn_edge.bundle import write_atomically
from mrnn_edge.errors import TrainingError
from mrnn_edge_train import distributed
from mrnn_edge_train.averaging import Network, WeightAverage
from mrnn_edge_train.device import device_of, random_states, set_random_states
from mrnn_edge_train.journal import BEST, Progress

CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "checkpoint-previous.safetensors"
_PROGRESS = "progress"


@dataclass(frozen=True, kw_only=True)
class TrainingState(Generic[Network]):
    """What changes while a stage runs."""

    network: Network
    average: WeightAverage[Network]
    optimiser: torch.optim.Optimizer
    progress: Progress

    def save(self, folder: Path) -> None:
        """Write the checkpoint of a run's folder; the one that is there becomes the previous.

        Of several processes the first one writes; all must call it.
        """
        random = random_states(device_of(self.network))
        if not distributed.is_first():
            return
        tensors = {
            **_prefixed("network", self.network.state_dict()),
            **_prefixed("average", self.average.network.state_dict()),
            **random,
        }
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= _prefixed(f"optimiser.{index}", moments)
        data = save(tensors, metadata={_PROGRESS: self.progress.to_json()})
        if (folder / CHECKPOINT).is_file():
            # A crash right after this leaves the previous one alone, which serves as well.
            (folder / CHECKPOINT).replace(folder / PREVIOUS)
        write_atomically(folder / CHECKPOINT, data)

    def restore(self, checkpoint: "Checkpoint") -> None:
        """Take network, average, moments and random generators from a checkpoint.

        Raises TrainingError if it is of another network.
        """
        tensors = checkpoint.tensors
        optimiser = self.optimiser.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _under("optimiser", tensors).items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = tensor
        try:
            self.network.load_state_dict(_under("network", tensors))
            self.average.network.load_state_dict(_under("average", tensors))
            self.optimiser.load_state_dict({**optimiser, "state": state})
            set_random_states(tensors, device_of(self.network))
        except (RuntimeError, KeyError, ValueError) as error:
            raise TrainingError(
                f"{CHECKPOINT} is not of this run's network ({error}); train anew"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint as it was read."""

    progress: Progress
    tensors: dict[str, Tensor]


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the last checkpoint of a run's folder. Raises TrainingError if it cannot be read."""
    return _read(folder / CHECKPOINT)


def read_sound_checkpoint(folder: Path, say: Callable[[str], None]) -> Checkpoint:
    """The last checkpoint, or the one before, which then takes its place; `say` is told of it.

    Raises TrainingError if neither can be read, and leaves both as they are.
    """
    try:
        return read_checkpoint(folder)
    except TrainingError as error:
        try:
            previous = _read(folder / PREVIOUS)
        except TrainingError:
            raise error from None
        (folder / PREVIOUS).replace(folder / CHECKPOINT)
        say(
            f"{folder / CHECKPOINT} cannot be read; going on from the one before, "
            f"{previous.progress.stage} {previous.progress.epoch}, step {previous.progress.step}"
        )
        return previous


def write_best(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write the weights that a run keeps, of any device."""
    data = save({name: tensor.cpu().contiguous() for name, tensor in weights.items()})
    write_atomically(folder / BEST, data)


def read_best(folder: Path) -> dict[str, Tensor]:
    """The weights that a run keeps, on the CPU. Raises TrainingError if they cannot be read."""
    try:
        return load((folder / BEST).read_bytes())
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{folder / BEST}: cannot be read ({error}); train anew") from None


def _read(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as stored:
            progress = Progress.from_json(stored.metadata()[_PROGRESS])
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise TrainingError(
            f"{path}: cannot be read as a checkpoint ({error}); the run cannot go on, train anew"
        ) from None
    return Checkpoint(progress=progress, tensors=tensors)


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{key}": tensor.cpu().contiguous() for key, tensor in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {key[len(start) :]: t for key, t in tensors.items() if key.startswith(start)}
