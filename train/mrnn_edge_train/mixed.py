"""The first stage on pairs, sentences and names together, through the same layers.

    cost =  bits a word of the pairs
          + a · bits a word of sentences alone      V_I I left out: the mean vector, so b_m alone
          + b · bits of the names alone             V_w w and V_r r left out: g(V_I I + b_m)

After Venugopalan et al. 2017, "Captioning Images with Diverse Objects": words of which no pair
speaks are learnt by the language part from sentences and by the image part from named pictures,
and meet in the one table of the softmax. Takes what was prepared, gives a stage; reads no file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mrnn_edge.score import BITS_PER_NAT
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.batches import Sentences, collate
from mrnn_edge_train.cost import bits_per_word
from mrnn_edge_train.device import moved
from mrnn_edge_train.encoders import CLASSES
from mrnn_edge_train.features import FeatureTable
from mrnn_edge_train.mixed_settings import Mixed
from mrnn_edge_train.model import MRNN, scaled_tanh
from mrnn_edge_train.recipe import Recipe
from mrnn_edge_train.stages import FeatureStage, TrainingData
from mrnn_edge_train.validation import DevFigures, dev_figures

_WINDOW = 20
"""Sentences alone are drawn from so many times as many of like length."""
_SUREST = 0.95
_LEAST_SURE = 0.4
"""What the classifier gives the class of a prototype, at most and at least."""


class SentenceBank:
    """Sentences without pictures, as ids."""

    def __init__(self, sentences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> None:
        encoded = (vocabulary.encode(words) for words in sentences)
        self._ids = sorted((np.array(ids, np.int32) for ids in encoded), key=len)
        self._vocabulary = vocabulary

    def __len__(self) -> int:
        return len(self._ids)

    def draw(self, size: int, random: np.random.Generator) -> Sentences:
        """Sentences of like length, any of them as likely as any other but at the ends."""
        window = min(_WINDOW * size, len(self._ids))
        start = int(random.integers(0, len(self._ids) - window + 1))
        chosen = start + random.choice(window, min(size, window), replace=False)
        return collate([self._ids[number].tolist() for number in chosen], self._vocabulary)


@dataclass(frozen=True, kw_only=True)
class Names:
    """N pictures and what they show, then the classes of ImageNet."""

    paths: tuple[Path, ...]
    table: FeatureTable
    logits: Tensor
    """float32 [N, 1000], what the frozen CNN's classifier makes of them."""
    targets: Tensor
    """float32 [N, V], each row the shares of the words that name it."""
    classes: Tensor
    """float32 [1000, V]; rows of nought where no word is known."""

    def draw(
        self, size: int, prototypes: int, mean: Tensor, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Vectors [size, D], half of the pictures' in the mirror, and targets [size, V]."""
        chosen = random.integers(0, len(self.targets), size - prototypes)
        features = self.table.features[chosen]
        if self.table.mirrored is not None:
            toss = random.random(len(chosen)) < 0.5
            features = np.where(toss[:, None], self.table.mirrored[chosen], features)
        vectors, targets = torch.from_numpy(features), self.targets[chosen]
        if prototypes:
            known = np.flatnonzero(self.classes.sum(dim=1).numpy() > 0)
            numbers = random.choice(known, prototypes, replace=False)
            vectors = torch.cat([vectors, prototype_vectors(numbers, mean, random)])
            targets = torch.cat([targets, self.classes[numbers]])
        return vectors, targets


def prototype_vectors(
    numbers: NDArray[np.int64], mean: Tensor, random: np.random.Generator
) -> Tensor:
    """The mean vector [D] in which the classifier is more or less sure of a class, [N, D]."""
    sure = torch.from_numpy(random.uniform(_LEAST_SURE, _SUREST, len(numbers))).to(torch.float32)
    vectors = mean.repeat(len(numbers), 1)
    classes = vectors[:, -CLASSES:]
    classes *= (1.0 - sure)[:, None]
    classes[torch.arange(len(numbers)), torch.from_numpy(numbers)] += sure
    return vectors


def word_shares(words: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Tensor:
    """Names, the nearest first -> targets [N, V]: the first word has twice what others have."""
    targets = torch.zeros(len(words), len(vocabulary))
    for row, names in enumerate(words):
        lacking = vocabulary.lacks(names)
        for number, word in enumerate(word for word in names if word not in lacking):
            targets[row, vocabulary.encode([word])[0]] = 1.0 if number else 2.0
    return targets / targets.sum(dim=1, keepdim=True).clamp_min(1.0)


@dataclass(frozen=True, kw_only=True)
class MixtureData:
    """What a mixture has beside pairs."""

    repeats: tuple[float, ...]
    """How often an epoch has a sentence of each training picture."""
    dev_sets: Mapping[str, int]
    """Name and pictures of each dev set, in the order in which `TrainingData.dev` has them."""
    sentences: SentenceBank | None = None
    names: Names | None = None


class MixedStage(FeatureStage):
    """The language model on the vectors of a frozen CNN, by three costs."""

    def __init__(
        self, recipe: Recipe, data: TrainingData, mixture: MixtureData, *, seed: int
    ) -> None:
        super().__init__(recipe, data, seed=seed, repeats=mixture.repeats)
        self._mixture = mixture
        self._settings = recipe.mixed or Mixed()

    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """Of each batch of pairs, and of sentences and names as many as the recipe says."""
        for number, cost in enumerate(super().costs(epoch=epoch, first=first), start=first):
            random = np.random.default_rng((self._seed, epoch, number, 1))
            yield cost + self._of_sentences(random) + self._of_names(random)

    def _of_sentences(self, random: np.random.Generator) -> Tensor | float:
        bank, settings = self._mixture.sentences, self._settings
        if bank is None or not settings.sentences:
            return 0.0
        said = moved(bank.draw(settings.sentence_batch, random), self._data.device)
        mean = self.network.feature_mean.expand(len(said.inputs), -1)
        logits = self.network(said.inputs, mean, said.mask)
        smoothing = self._recipe.label_smoothing
        return settings.sentences * bits_per_word(logits, said.targets, smoothing=smoothing)

    def _of_names(self, random: np.random.Generator) -> Tensor | float:
        names, settings = self._mixture.names, self._settings
        if names is None or not settings.names:
            return 0.0
        mean = self.network.feature_mean.cpu()
        vectors, targets = names.draw(settings.name_batch, settings.prototypes, mean, random)
        here = self._data.device
        return settings.names * names_cost(self.network, vectors.to(here), targets.to(here))

    def measure(self, network: MRNN) -> DevFigures:
        """On each dev set by itself; their mean says which epoch is kept."""
        return figures_by_set(network, self._recipe, self._data, self._data.dev_table)


def figures_by_set(
    network: MRNN, recipe: Recipe, data: TrainingData, table: FeatureTable
) -> DevFigures:
    """Dev figures from a table of all dev pictures: of each set, and their means."""
    if data.mixture is None:
        return dev_figures(network, data.dev, table, data.vocabulary, recipe.decoding)
    at, found = 0, {}
    for name, count in data.mixture.dev_sets.items():
        images = data.dev[at : at + count]
        at += count
        rows = table.rows(images)
        found[name] = dev_figures(network, images, rows, data.vocabulary, recipe.decoding)
    return DevFigures(
        perplexity=sum(each.perplexity for each in found.values()) / len(found),
        cider=sum(each.cider for each in found.values()) / len(found),
        by_set={name: each.cider for name, each in found.items()},
    )


def names_cost(network: MRNN, vectors: Tensor, targets: Tensor) -> Tensor:
    """Bits of the names of pictures [B, D], targets [B, V], the language part left out.

    The softmax's bias is language too: how often a word is said, whatever is seen.
    """
    hidden = scaled_tanh(network.image_vector(vectors))
    logits = network.logits(network.drop_multimodal(hidden)) - network.softmax.bias
    return functional.cross_entropy(logits, targets) * BITS_PER_NAT
