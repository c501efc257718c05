"""The second stage: the CNN learns with the language model, from the pixels to the words.

"Errors are backpropagated to the three parts" (Mao et al. 2014). A step sees some pictures, each
once, varied as far as its sentences stay true (augment.py), with all of them. In the place of some,
pictures of nothing are shown, if the recipe says so. Where it has `[distill]`, other networks see
the same pictures, and what they would say is mixed into the cost.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mrnn_edge.config import ImageSpec
from mrnn_edge.errors import TrainingError
from mrnn_edge.image import read_pixels
from mrnn_edge.progress import Track, untracked
from mrnn_edge_train import distributed
from mrnn_edge_train.augment import variations, vary
from mrnn_edge_train.batches import collate
from mrnn_edge_train.cost import bits_per_word, soft_bits_per_word
from mrnn_edge_train.device import has_bfloat16, moved
from mrnn_edge_train.encoders import EfficientNetLite
from mrnn_edge_train.features import compute_table
from mrnn_edge_train.journal import StageName
from mrnn_edge_train.lookup import rows_of
from mrnn_edge_train.model import MRNN
from mrnn_edge_train.nothing import nothing
from mrnn_edge_train.recipe import Finetune, Recipe
from mrnn_edge_train.stages import Stage, TrainingData
from mrnn_edge_train.tuning import features, make_trainable
from mrnn_edge_train.validation import DevFigures, dev_figures

CNN_PREFIX = "cnn."
"""Of the CNN's weights among those of the language model."""


def split_weights(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a run kept -> the CNN's weights, empty where it was not trained, and the rest."""
    cnn = {name: each for name, each in weights.items() if name.startswith(CNN_PREFIX)}
    rest = {name: each for name, each in weights.items() if name not in cnn}
    return {name.removeprefix(CNN_PREFIX): each for name, each in cnn.items()}, rest


class WholeNetwork(nn.Module):
    """A CNN and the language model that reads its vectors, on one device.

    `compiled` is for the CNN alone. The language model is a loop over words, which would be
    compiled anew for each length of a batch's longest sentence.
    """

    def __init__(self, cnn: EfficientNetLite, model: MRNN, *, compiled: bool = False) -> None:
        super().__init__()
        self.cnn = cnn
        self.model = model
        self._features = _compiled() if compiled else features

    def forward(
        self, pixels: Tensor, rows: Tensor, inputs: Tensor, mask: Tensor, bfloat16: bool
    ) -> Tensor:
        """Pictures uint8 [N, S, S, 3], the picture of each sentence [B], ids and mask [B, T] ->
        logits [P, V]."""
        vectors = self._features(self.cnn, pixels, bfloat16=bfloat16)
        logits: Tensor = self.model(inputs, rows_of(vectors, rows), mask)
        return logits


def _compiled() -> Callable[..., Tensor]:
    """`features` as torch.compile makes it, for each new form of batch when it comes."""
    from torch._dynamo.exc import BackendCompilerFailed

    run = torch.compile(features)

    def computed(cnn: EfficientNetLite, pixels: Tensor, *, bfloat16: bool) -> Tensor:
        try:
            return run(cnn, pixels, bfloat16=bfloat16)
        except BackendCompilerFailed as error:
            reason = str(error).partition("\n")[0]
            raise TrainingError(
                f"finetune.compile: PyTorch cannot compile the CNN ({reason}); install a compiler "
                "for C++, on a GPU Triton too, and go on with --resume, or leave compile out"
            ) from None

    return computed


class FinetuneStage(Stage[WholeNetwork]):
    """CNN and language model together. `network` comes with the weights to start from."""

    name = StageName.FINETUNE

    def __init__(
        self,
        recipe: Recipe,
        settings: Finetune,
        data: TrainingData,
        network: WholeNetwork,
        *,
        seed: int,
        track: Track = untracked,
    ) -> None:
        if (data.teachers is None) is not (recipe.distill is None):
            raise ValueError("teachers go with a recipe that has [distill]")
        make_trainable(network.cnn, frozen=settings.frozen)
        self.network = network
        self.epochs, self.warmup = settings.epochs, settings.warmup
        self.schedule = recipe.schedule
        self.clip, self.average = settings.clip, settings.average
        self.steps = math.ceil(len(data.train) / (settings.images * distributed.size()))
        self._parallel = distributed.parallel(network)
        self._recipe, self._settings, self._data, self._seed = recipe, settings, data, seed
        self._variations = variations(settings, data.train, mirror=recipe.mirror)
        # With the end signs, which are predicted as words are.
        self._words = [sum(len(words) + 1 for words in image.sentences) for image in data.train]
        self._pixels = read_all([image.path for image in data.train], recipe.image_size, track)

    def groups(self) -> list[dict[str, Any]]:
        """The part of the CNN that learns, and the language model, at rates of their own."""
        settings = self._settings
        rates = (
            (self.network.cnn, settings.cnn_rate),
            (self.network.model, settings.learning_rate),
        )
        return [
            {
                "params": [each for each in part.parameters() if each.requires_grad],
                "peak": rate,
                "weight_decay": settings.weight_decay,
            }
            for part, rate in rates
        ]

    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """Over pictures in random order, each once with all its sentences."""
        order = self._order(np.random.default_rng((self._seed, epoch)))
        size = self._settings.images * distributed.size()
        for step in range(first, self.steps):
            random = np.random.default_rng((self._seed, epoch, step))
            chosen = order[step * size : (step + 1) * size].tolist()
            # All processes crop all pictures of the step, so that the crops are those of one.
            pictures = self.augmented(chosen, random)
            own = distributed.share(len(chosen))
            weight = own.weight([self._words[number] for number in chosen])
            yield self._cost(chosen[own.items], pictures[own.items]) * weight

    def _order(self, random: np.random.Generator) -> NDArray[np.int64]:
        """The pictures of an epoch by number."""
        return random.permutation(len(self._pixels))

    def augmented(self, chosen: Sequence[int], random: np.random.Generator) -> NDArray[np.uint8]:
        """Training pictures by number, as a step sees them: [N, crop_size, crop_size, 3]."""
        return np.stack([self._seen(number, random) for number in chosen])

    def _seen(self, number: int, random: np.random.Generator) -> NDArray[np.uint8]:
        settings = self._settings
        if settings.nothing and random.random() < settings.nothing:
            return nothing(settings.crop_size, random)
        return vary(self._pixels[number], self._variations[number], random=random)

    def _cost(self, chosen: Sequence[int], pictures: NDArray[np.uint8]) -> Tensor:
        images, here = [self._data.train[number] for number in chosen], self._data.device
        encode = self._data.vocabulary.encode
        ids = [encode(words) for image in images for words in image.sentences]
        sentences = moved(collate(ids, self._data.vocabulary), here)
        numbers = [row for row, image in enumerate(images) for _ in image.sentences]
        rows, pixels = torch.tensor(numbers).to(here), torch.from_numpy(pictures).to(here)
        half = self._settings.bfloat16 and has_bfloat16(here)
        logits = self._parallel(pixels, rows, sentences.inputs, sentences.mask, half)
        smoothing = self._settings.label_smoothing
        cost = bits_per_word(logits, sentences.targets, smoothing=smoothing)
        distill, teachers = self._recipe.distill, self._data.teachers
        if distill is None or teachers is None:
            return cost
        wanted = teachers(pixels, rows, sentences)
        soft = soft_bits_per_word(logits, wanted, temperature=distill.temperature)
        return (1.0 - distill.weight) * cost + distill.weight * soft

    def measure(self, network: WholeNetwork) -> DevFigures:
        """The dev pictures are read by the CNN of the moment, whole and at their full size."""
        data = self._data
        encoder = partial(features, network.cnn, bfloat16=False)
        table = compute_table(encoder, data.dev, size=self._recipe.image_size, mirror=False)
        return dev_figures(network.model, data.dev, table, data.vocabulary, self._recipe.decoding)

    def weights(self, network: WholeNetwork) -> dict[str, Tensor]:
        """The language model's by their names, the CNN's under `cnn.`."""
        cnn = {CNN_PREFIX + name: each for name, each in network.cnn.state_dict().items()}
        return {**network.model.state_dict(), **cnn}


def read_all(images: Sequence[Path], size: int, track: Track = untracked) -> NDArray[np.uint8]:
    """All pictures in memory, uint8 [N, S, S, 3]: 0.9 GB for 6,000 of 224 pixels."""
    spec = ImageSpec(height=size, width=size)
    pixels = np.empty((len(images), size, size, 3), np.uint8)
    for row, image in enumerate(track(images, "pictures", len(images))):
        pixels[row] = read_pixels(image, spec)
    return pixels
