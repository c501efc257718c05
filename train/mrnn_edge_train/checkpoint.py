"""Checkpoints: all that a stopped run needs to reach the same end, in one file.

checkpoint.safetensors holds the network, its moving average, Adam's two moments of each parameter
and the random generators; its header holds the run's progress, and hashes of its recipe and of its
tensors. Writing is atomic, and the previous checkpoint is kept: if the last one cannot be read, a
run resumes from the one before and reaches the same end. Batches need no entry: they follow from
seed, epoch and step. No entry depends on a device: what a GPU wrote can be resumed anywhere.

best.safetensors, beside it, holds the weights alone, those of the best epoch so far.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from mrnn_edge.errors import TrainingError
from mrnn_edge.files import sync_folder, write_whole
from mrnn_edge_train import distributed
from mrnn_edge_train.journal import BEST, Progress
from mrnn_edge_train.network.averaging import Network, WeightAverage
from mrnn_edge_train.torch_device import device_of, random_states, set_random_states

CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "checkpoint-previous.safetensors"
_NEXT = "checkpoint-next.safetensors"
_PROGRESS, _RECIPE, _SHA256 = "progress", "recipe", "sha256"


@dataclass(frozen=True, kw_only=True)
class TrainingState(Generic[Network]):
    """What changes while a stage runs."""

    recipe: Mapping[str, Any]
    """As run.json has it."""
    network: Network
    average: WeightAverage[Network]
    optimiser: torch.optim.Optimizer
    progress: Progress

    def save(self, folder: Path) -> None:
        """Write a run's checkpoint; the existing one becomes the previous one.

        All processes must call it; the first one writes.
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
        header = {
            _PROGRESS: self.progress.to_json(),
            _RECIPE: _digest_of_recipe(self.recipe),
            _SHA256: _digest(tensors),
        }
        # Complete before the others are touched: a full disk costs this checkpoint alone.
        write_whole(folder / _NEXT, save(tensors, metadata=header))
        if (folder / CHECKPOINT).is_file():
            # A crash after this line leaves the previous checkpoint, which is enough.
            (folder / CHECKPOINT).replace(folder / PREVIOUS)
        (folder / _NEXT).replace(folder / CHECKPOINT)
        sync_folder(folder)

    def restore(self, checkpoint: "Checkpoint") -> None:
        """Restore network, average, moments and random generators from a checkpoint.

        Raises TrainingError for another network, or for a recipe that differs by more than epochs.
        """
        if checkpoint.recipe not in (None, _digest_of_recipe(self.recipe)):
            raise TrainingError(
                f"{CHECKPOINT} was written with another recipe than that of run.json; restore "
                "run.json, or train again"
            )
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
                f"{CHECKPOINT} is not of this run's network ({error}); train again"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint as it was read."""

    progress: Progress
    recipe: str | None
    """A hash of the run's recipe; None: an older run without one."""
    tensors: dict[str, Tensor]


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the last checkpoint of a run's folder. Raises TrainingError if it cannot be read."""
    return _read(folder / CHECKPOINT)


def check_checkpoints(folder: Path) -> None:
    """Raise TrainingError unless a run's folder has a checkpoint that can be read."""
    _sound(folder)


def read_sound_checkpoint(folder: Path, say: Callable[[str], None]) -> Checkpoint:
    """The last checkpoint; if it cannot be read, the one before replaces it and `say` is called.

    Raises TrainingError if neither can be read, and leaves both as they are.
    """
    path, found = _sound(folder)
    if path.name == PREVIOUS:
        path.replace(folder / CHECKPOINT)
        say(
            f"{folder / CHECKPOINT} cannot be read; continuing from the one before, "
            f"{found.progress.stage} {found.progress.epoch}, step {found.progress.step}"
        )
    return found


def _sound(folder: Path) -> tuple[Path, Checkpoint]:
    """The last checkpoint that can be read, and its file; the last one's error if neither can."""
    try:
        return folder / CHECKPOINT, read_checkpoint(folder)
    except TrainingError as error:
        try:
            return folder / PREVIOUS, _read(folder / PREVIOUS)
        except TrainingError:
            raise error from None


def write_best(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write the best weights of a run by name, of any shape, dtype and device."""
    data = save({name: tensor.cpu().contiguous() for name, tensor in weights.items()})
    write_whole(folder / BEST, data)


def read_best(folder: Path) -> dict[str, Tensor]:
    """The best weights by name, on the CPU. Raises TrainingError if they cannot be read."""
    try:
        return load((folder / BEST).read_bytes())
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{folder / BEST}: cannot be read ({error}); train again") from None


def _read(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as stored:
            header = stored.metadata()
            progress = Progress.from_json(header[_PROGRESS])
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        if header.get(_SHA256) not in (None, _digest(tensors)):
            raise ValueError("its bytes are not those that were written")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise TrainingError(
            f"{path}: cannot be read as a checkpoint ({error}); the run cannot resume, train again"
        ) from None
    return Checkpoint(progress=progress, recipe=header.get(_RECIPE), tensors=tensors)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors in the order of their names."""
    found = hashlib.sha256()
    for key in sorted(tensors):
        found.update(key.encode())
        found.update(tensors[key].reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _digest_of_recipe(recipe: Mapping[str, Any]) -> str:
    """SHA-256 of a recipe without its numbers of epochs, which may be changed to end a run."""
    without = json.dumps(_without_epochs(recipe), sort_keys=True)
    return hashlib.sha256(without.encode()).hexdigest()


def _without_epochs(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_epochs(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if key != "epochs"
    }


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{key}": tensor.cpu().contiguous() for key, tensor in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {key[len(start) :]: t for key, t in tensors.items() if key.startswith(start)}
