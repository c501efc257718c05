"""What a mixture trains on beside pairs: sentences without pictures, pictures with names alone.

Takes tokens and vectors, gives batches of tensors; reads no file and knows no network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.network.encoders import CLASSES
from mrnn_edge_train.stages.batches import Sentences, collate
from mrnn_edge_train.stages.features import FeatureTable

_WINDOW = 20
"""Sentences alone are drawn from this many times as many of similar length."""
_SUREST = 0.95
_LEAST_SURE = 0.4
"""The classifier's probability for the class of a prototype, at most and at least."""


class SentenceBank:
    """Sentences without pictures, as ids."""

    def __init__(self, sentences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> None:
        encoded = (vocabulary.encode(words) for words in sentences)
        self._ids = sorted((np.array(ids, np.int32) for ids in encoded), key=len)
        self._vocabulary = vocabulary

    def __len__(self) -> int:
        return len(self._ids)

    def draw(self, size: int, random: np.random.Generator) -> Sentences:
        """Sentences of similar length; all are equally likely, except at both ends."""
        window = min(_WINDOW * size, len(self._ids))
        start = int(random.integers(0, len(self._ids) - window + 1))
        chosen = start + random.choice(window, min(size, window), replace=False)
        return collate([self._ids[number].tolist() for number in chosen], self._vocabulary)


@dataclass(frozen=True, kw_only=True)
class Names:
    """N named pictures, and the classes of ImageNet."""

    paths: tuple[Path, ...]
    table: FeatureTable
    logits: Tensor
    """float32 [N, 1000], of the frozen CNN's classifier."""
    targets: Tensor
    """float32 [N, V], each row the shares of the words that name the picture."""
    classes: Tensor
    """float32 [1000, V], the same for each class; zeros if no word is known."""

    def draw(
        self, size: int, prototypes: int, mean: Tensor, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Vectors float32 [size, D], half of them mirrored, and targets float32 [size, V].

        `prototypes` of them are classes: `prototype_vectors` of `mean`, float32 [D].
        """
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
    """For classes int64 [N]: the mean vector float32 [D] with the classifier more or less sure of
    the class, [N, D]."""
    sure = torch.from_numpy(random.uniform(_LEAST_SURE, _SUREST, len(numbers))).to(torch.float32)
    vectors = mean.repeat(len(numbers), 1)
    classes = vectors[:, -CLASSES:]
    classes *= (1.0 - sure)[:, None]
    classes[torch.arange(len(numbers)), torch.from_numpy(numbers)] += sure
    return vectors


def word_shares(words: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Tensor:
    """Names, the closest first -> targets float32 [N, V]; the first word weighs double."""
    targets = torch.zeros(len(words), len(vocabulary))
    for row, names in enumerate(words):
        lacking = vocabulary.lacks(names)
        for number, word in enumerate(word for word in names if word not in lacking):
            targets[row, vocabulary.encode([word])[0]] = 1.0 if number else 2.0
    return targets / targets.sum(dim=1, keepdim=True).clamp_min(1.0)


@dataclass(frozen=True, kw_only=True)
class MixtureData:
    """What several data sets have beside pairs."""

    repeats: tuple[float, ...]
    """How often an epoch has the sentences of each training picture."""
    dev_sets: Mapping[str, int]
    """Name and number of pictures of each dev set, in the order of `TrainingData.dev`."""
    sentences: SentenceBank | None = None
    names: Names | None = None
