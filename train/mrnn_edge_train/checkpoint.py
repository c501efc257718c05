"""All that a training run needs to go on as if it had never stopped, in one file.

checkpoint.safetensors holds the network, its moving average, Adam's two moments of each parameter
and the random generator; its header says how far the run is. Written beside, synced and renamed:
it is whole or it is the one before. Batches need no entry: they follow from seed, epoch and step.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mrnn_edge.bundle import write_atomically
from mrnn_edge.errors import TrainingError
from mrnn_edge_train.averaging import Network, WeightAverage
from mrnn_edge_train.journal import Progress

CHECKPOINT = "checkpoint.safetensors"
_PROGRESS = "progress"


@dataclass(frozen=True, kw_only=True)
class TrainingState(Generic[Network]):
    """What changes while a stage runs."""

    network: Network
    average: WeightAverage[Network]
    optimiser: torch.optim.Optimizer
    progress: Progress

    def save(self, folder: Path) -> None:
        """Write the checkpoint of a run's folder."""
        tensors = {
            **_prefixed("network", self.network.state_dict()),
            **_prefixed("average", self.average.network.state_dict()),
            "random": torch.get_rng_state(),
        }
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= _prefixed(f"optimiser.{index}", moments)
        header = {_PROGRESS: self.progress.to_json()}
        write_atomically(folder / CHECKPOINT, save(tensors, metadata=header))

    def restore(self, checkpoint: "Checkpoint") -> None:
        """Take network, average, moments and random generator from a checkpoint.

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
            torch.set_rng_state(tensors["random"])
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
    """Read the checkpoint of a run's folder. Raises TrainingError if it is absent or damaged."""
    path = folder / CHECKPOINT
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
    return {f"{prefix}.{key}": tensor.contiguous() for key, tensor in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {key[len(start) :]: t for key, t in tensors.items() if key.startswith(start)}
