"""The second stage: CNN and language model are trained together, from pixels to words.

"Errors are backpropagated to the three parts" (Mao et al. 2014). A step takes some pictures, each
once with all its sentences, and varies them as far as the sentences stay true (augment.py). A
recipe may replace a share of them by blank pictures.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.image.read import read_pixels
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train import distributed
from mrnn_edge_train.journal import StageName
from mrnn_edge_train.network.cells import rows_of
from mrnn_edge_train.network.cost import bits_per_word
from mrnn_edge_train.network.encoders import EfficientNetLite
from mrnn_edge_train.network.model import MRNN
from mrnn_edge_train.network.tuning import features, make_trainable
from mrnn_edge_train.recipe import Recipe
from mrnn_edge_train.stages.augment import nothing, variations, vary
from mrnn_edge_train.stages.batches import collate
from mrnn_edge_train.stages.features import compute_table
from mrnn_edge_train.stages.stages import Stage, TrainingData, group, measured
from mrnn_edge_train.stages.validation import DevFigures
from mrnn_edge_train.torch_device import has_bfloat16, moved

CNN_PREFIX = "cnn."
"""Prefix of the CNN's weights among those of the language model."""


def split_weights(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split a run's weights by name into the CNN's, empty if it was not tuned, and the rest."""
    cnn = {name: each for name, each in weights.items() if name.startswith(CNN_PREFIX)}
    rest = {name: each for name, each in weights.items() if name not in cnn}
    return {name.removeprefix(CNN_PREFIX): each for name, each in cnn.items()}, rest


def joint_weights(model: MRNN, cnn: EfficientNetLite) -> dict[str, Tensor]:
    """The inverse: the weights of both by name."""
    tuned = {CNN_PREFIX + name: each for name, each in cnn.state_dict().items()}
    return {**model.state_dict(), **tuned}


class WholeNetwork(nn.Module):
    """A CNN and the language model that reads its vectors, on one device."""

    def __init__(self, cnn: EfficientNetLite, model: MRNN) -> None:
        super().__init__()
        self.cnn = cnn
        self.model = model

    def forward(
        self, pixels: Tensor, rows: Tensor, inputs: Tensor, mask: Tensor, bfloat16: bool
    ) -> Tensor:
        """Pictures uint8 [N, S, S, 3], the picture of each sentence int64 [B], ids int64 and mask
        bool [B, T] -> logits float32 [P, V]."""
        vectors = features(self.cnn, pixels, bfloat16=bfloat16)
        logits: Tensor = self.model(inputs, rows_of(vectors, rows), mask)
        return logits


class FinetuneStage(Stage[WholeNetwork]):
    """CNN and language model together. `network` holds the initial weights."""

    name = StageName.FINETUNE

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        network: WholeNetwork,
        *,
        seed: int,
        track: Track = untracked,
    ) -> None:
        settings = recipe.finetune
        if settings is None:
            raise ValueError("the recipe has no [finetune]")
        make_trainable(network.cnn, frozen=settings.frozen)
        steps = math.ceil(len(data.train) / (settings.images * distributed.size()))
        super().__init__(recipe, settings, data, network, steps=steps, seed=seed)
        self.tuning = settings
        self._parallel = distributed.parallel(network)
        self._variations = variations(settings, data.train, mirror=recipe.mirror)
        # The end signs are predicted too.
        self._words = [sum(len(words) + 1 for words in image.sentences) for image in data.train]
        self._pixels = read_all([image.path for image in data.train], recipe.image_size, track)

    def groups(self) -> list[dict[str, Any]]:
        """The trained part of the CNN, and the language model, each with its own rate."""
        settings = self.tuning
        rates = {self.network.cnn: settings.cnn_rate, self.network.model: settings.learning_rate}
        decay = settings.weight_decay
        return [group(part, rate, weight_decay=decay) for part, rate in rates.items()]

    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """Costs [] over pictures in random order, each once with all its sentences."""
        order = self.order(np.random.default_rng((self.seed, epoch)))
        size = self.tuning.images * distributed.size()
        for step in range(first, self.steps):
            random = np.random.default_rng((self.seed, epoch, step))
            chosen = order[step * size : (step + 1) * size].tolist()
            # All processes crop all pictures of the step, so that the crops are the same.
            pictures = self.augmented(chosen, random)
            own = distributed.share(len(chosen))
            weight = own.weight([self._words[number] for number in chosen])
            yield self._cost(chosen[own.items], pictures[own.items]) * weight

    def order(self, random: np.random.Generator) -> NDArray[np.int64]:
        """The pictures of an epoch by number, int64 [N]."""
        return random.permutation(len(self._pixels))

    def augmented(self, chosen: Sequence[int], random: np.random.Generator) -> NDArray[np.uint8]:
        """Training pictures by number, as a step sees them: uint8 [N, crop_size, crop_size, 3]."""
        return np.stack([self._seen(number, random) for number in chosen])

    def _seen(self, number: int, random: np.random.Generator) -> NDArray[np.uint8]:
        settings = self.tuning
        if settings.nothing and random.random() < settings.nothing:
            return nothing(settings.crop_size, random)
        return vary(self._pixels[number], self._variations[number], random=random)

    def _cost(self, chosen: Sequence[int], pictures: NDArray[np.uint8]) -> Tensor:
        images, here = [self.data.train[number] for number in chosen], self.data.device
        encode = self.data.vocabulary.encode
        ids = [encode(words) for image in images for words in image.sentences]
        sentences = moved(collate(ids, self.data.vocabulary), here)
        numbers = [row for row, image in enumerate(images) for _ in image.sentences]
        rows, pixels = torch.tensor(numbers).to(here), torch.from_numpy(pictures).to(here)
        half = self.tuning.bfloat16 and has_bfloat16(here)
        logits = self._parallel(pixels, rows, sentences.inputs, sentences.mask, half)
        smoothing = self.tuning.label_smoothing
        return bits_per_word(logits, sentences.targets, smoothing=smoothing)

    def measure(self, network: WholeNetwork) -> DevFigures:
        """Dev figures with the current CNN on whole pictures at full size."""
        encoder = partial(features, network.cnn, bfloat16=False)
        table = compute_table(encoder, self.data.dev, size=self.recipe.image_size, mirror=False)
        return measured(network.model, self.recipe, self.data, table)

    def weights(self, network: WholeNetwork) -> dict[str, Tensor]:
        """The language model's weights by name, the CNN's under `cnn.`."""
        return joint_weights(network.model, network.cnn)


def read_all(images: Sequence[Path], size: int, track: Track) -> NDArray[np.uint8]:
    """All pictures in memory, uint8 [N, S, S, 3]: 0.9 GB for 6,000 of 224 pixels."""
    spec = ImageSpec(height=size, width=size)
    pixels = np.empty((len(images), size, size, 3), np.uint8)
    for row, image in enumerate(track(images, "pictures", len(images))):
        pixels[row] = read_pixels(image, spec)
    return pixels
