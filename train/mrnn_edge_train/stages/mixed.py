"""Stages on pairs, sentences and names together, through the same layers.

    cost =  bits a word of the pairs
          + a * bits a word of sentences alone      V_I I left out: the mean vector, so b_m alone
          + b * bits of the names alone             V_w w and V_r r left out: g(V_I I + b_m)

After Venugopalan et al. 2017, "Captioning Images with Diverse Objects": words that no pair uses are
learnt by the language part from sentences and by the image part from named pictures, and meet in
the one table of the softmax. While the CNN is tuned, its classifier must also keep the classes that
it gave before ("learning without forgetting", Li and Hoiem 2016). Reads no file.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mrnn_edge.decode.score import BITS_PER_NAT
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train.network.cost import bits_per_word
from mrnn_edge_train.network.encoders import CLASSES
from mrnn_edge_train.network.model import MRNN, scaled_tanh
from mrnn_edge_train.network.tuning import features
from mrnn_edge_train.recipe import Mixed, Recipe
from mrnn_edge_train.stages.augment import Variation, vary
from mrnn_edge_train.stages.batches import drawn, repeated
from mrnn_edge_train.stages.finetune import FinetuneStage, WholeNetwork, read_all
from mrnn_edge_train.stages.stages import FeatureStage, TrainingData
from mrnn_edge_train.stages.unpaired import MixtureData, Names
from mrnn_edge_train.torch_device import has_bfloat16, moved

_LEAST = 1e-8
"""The least probability in a logarithm."""


class MixedStage(FeatureStage):
    """The language model on the vectors of a frozen CNN, by three costs."""

    def __init__(
        self, recipe: Recipe, data: TrainingData, mixture: MixtureData, *, seed: int
    ) -> None:
        super().__init__(recipe, data, seed=seed, repeats=mixture.repeats)
        self._mixture = mixture
        self._mixed = recipe.mixed or Mixed()

    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """Costs [] of each batch of pairs and of as many sentences and names as the recipe says."""
        for number, cost in enumerate(super().costs(epoch=epoch, first=first), start=first):
            random = np.random.default_rng((self.seed, epoch, number, 1))
            yield cost + self._of_sentences(random) + self._of_names(random)

    def _of_sentences(self, random: np.random.Generator) -> Tensor | float:
        bank, mixed = self._mixture.sentences, self._mixed
        if bank is None or not mixed.sentences:
            return 0.0
        said = moved(bank.draw(mixed.sentence_batch, random), self.data.device)
        mean = self.network.feature_mean.expand(len(said.inputs), -1)
        logits = self.network(said.inputs, mean, said.mask)
        smoothing = self.recipe.label_smoothing
        return mixed.sentences * bits_per_word(logits, said.targets, smoothing=smoothing)

    def _of_names(self, random: np.random.Generator) -> Tensor | float:
        names, mixed = self._mixture.names, self._mixed
        if names is None or not mixed.names:
            return 0.0
        mean, here = self.network.feature_mean.cpu(), self.data.device
        vectors, targets = names.draw(mixed.name_batch, mixed.prototypes, mean, random)
        return mixed.names * names_cost(self.network, vectors.to(here), targets.to(here))


class MixedFinetuneStage(FinetuneStage):
    """CNN and language model together, on pairs by their weights and on named pictures."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        mixture: MixtureData,
        network: WholeNetwork,
        *,
        seed: int,
        track: Track = untracked,
    ) -> None:
        super().__init__(recipe, data, network, seed=seed, track=track)
        self._repeats = np.array(mixture.repeats)
        self.steps = math.ceil(drawn(self._repeats) / self.tuning.images)
        self._mixed = recipe.mixed or Mixed()
        self._names = mixture.names if self._mixed.tuned_names else None
        if self._names is not None:
            self._named_pixels = read_all(self._names.paths, recipe.image_size, track)
        self._variation = Variation(
            size=self.tuning.crop_size, smallest=self.tuning.smallest_crop, mirror=recipe.mirror
        )

    def order(self, random: np.random.Generator) -> NDArray[np.int64]:
        """The pictures of an epoch by number, int64 [N], each as often as its weight says."""
        return repeated(self._repeats, random)

    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """Costs [] of each batch of pairs, and of some named pictures."""
        for number, cost in enumerate(super().costs(epoch=epoch, first=first), start=first):
            random = np.random.default_rng((self.seed, epoch, number, 1))
            yield cost if self._names is None else cost + self._of_names(self._names, random)

    def _of_names(self, names: Names, random: np.random.Generator) -> Tensor:
        mixed, here = self._mixed, self.data.device
        chosen = random.integers(0, len(names.targets), mixed.tuned_names)
        crops = [vary(self._named_pixels[each], self._variation, random=random) for each in chosen]
        pixels = torch.from_numpy(np.stack(crops)).to(here)
        half = self.tuning.bfloat16 and has_bfloat16(here)
        vectors = features(self.network.cnn, pixels, bfloat16=half)
        targets = names.targets[chosen].to(here)
        cost = mixed.names * names_cost(self.network.model, vectors, targets)
        if mixed.remembered and self.recipe.classes:
            before = names.logits[chosen].to(here).softmax(dim=-1)
            cost = cost + mixed.remembered * forgotten(vectors[:, -CLASSES:], before)
        return cost


def names_cost(network: MRNN, vectors: Tensor, targets: Tensor) -> Tensor:
    """Bits [] of the names of pictures float32 [B, D], targets [B, V], the language part left out.

    The softmax's bias is language too: how often a word is used, whatever the picture.
    """
    hidden = scaled_tanh(network.image_vector(vectors))
    logits = network.logits(network.drop_multimodal(hidden)) - network.softmax.bias
    return functional.cross_entropy(logits, targets) * BITS_PER_NAT


def forgotten(now: Tensor, before: Tensor) -> Tensor:
    """Mean bits [] by which classes float32 [B, 1000] differ from what they were; 0 if equal."""
    nats = functional.kl_div(now.clamp_min(_LEAST).log(), before, reduction="batchmean")
    return nats * BITS_PER_NAT
