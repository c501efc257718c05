"""Training batches of sentences of similar length, a pure function of (seed, epoch).

Takes tokenised pictures and their feature table, gives tensors. A picture is mirrored with
probability 1/2, but not for a sentence that says left or right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.distributed import share
from mrnn_edge_train.distributed import size as processes
from mrnn_edge_train.stages.augment import is_sided
from mrnn_edge_train.stages.features import FeatureTable

_POOL = 20
"""Number of batches whose sentences are sorted by length together."""
_TOGETHER = 500
"""Sentences in a batch without training."""


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """B sentences of T positions at most; P of the B·T positions are real."""

    inputs: Tensor
    """int64 [B, T], the start sign first."""
    mask: Tensor
    """bool [B, T]"""
    targets: Tensor
    """int64 [P], the end signs included."""


@dataclass(frozen=True, kw_only=True)
class Batch(Sentences):
    """Sentences and, for each, its picture."""

    features: Tensor
    """float32 [B, D]"""
    weight: Tensor
    """float32 scalar, the weight of the cost: 1 unless several processes share a batch."""


def collate(sentences: Sequence[Sequence[int]], vocabulary: Vocabulary) -> Sentences:
    """Ids of sentences without start and end signs -> inputs and targets."""
    return collate_drawn([(*sentence, vocabulary.end) for sentence in sentences], vocabulary)


def collate_drawn(drawn: Sequence[Sequence[int]], vocabulary: Vocabulary) -> Sentences:
    """As `collate`, but all ids are targets; a sentence that was cut off has no end sign."""
    lengths = np.array([len(ids) for ids in drawn])
    inputs = np.full((len(drawn), lengths.max()), vocabulary.end, np.int64)
    inputs[:, 0] = vocabulary.start
    for row, ids in enumerate(drawn):
        inputs[row, 1 : len(ids)] = ids[:-1]
    mask = np.arange(inputs.shape[1]) < lengths[:, None]
    targets = np.fromiter(chain.from_iterable(drawn), np.int64, lengths.sum())
    return Sentences(
        inputs=torch.from_numpy(inputs),
        mask=torch.from_numpy(mask),
        targets=torch.from_numpy(targets),
    )


def drawn(repeats: NDArray[np.float64]) -> int:
    """How many items `repeated` returns for float64 [N]."""
    whole = np.floor(repeats)
    return int(whole.sum()) + round(float((repeats - whole).sum()))


def repeated(repeats: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of N items in random order, each as often as `repeats`, float64 [N], says: int64.

    The fractions add up to a number of items, which are drawn by their fractions.
    """
    whole = np.floor(repeats).astype(np.int64)
    chosen, part = np.repeat(np.arange(len(repeats)), whole), repeats - whole
    if left := drawn(repeats) - len(chosen):
        more = random.choice(len(repeats), left, replace=False, p=part / part.sum())
        chosen = np.concatenate([chosen, more])
    return random.permutation(chosen)


class Examples:
    """All sentences of a split, to be divided into batches.

    `repeats` says how often an epoch has the sentences of each picture; default: once.
    """

    def __init__(
        self,
        images: Sequence[CaptionedImage],
        table: FeatureTable,
        vocabulary: Vocabulary,
        *,
        repeats: Sequence[float] | None = None,
    ) -> None:
        pairs = [(row, words) for row, image in enumerate(images) for words in image.sentences]
        self._rows = np.array([row for row, _ in pairs])
        self._sentences = [vocabulary.encode(words) for _, words in pairs]
        self._sided = np.array([is_sided(words) for _, words in pairs])
        self._lengths = np.array([len(sentence) for sentence in self._sentences])
        self._table = table
        self._vocabulary = vocabulary
        self._repeats = None if repeats is None else np.array(repeats, float)[self._rows]

    def __len__(self) -> int:
        return len(self._sentences)

    @property
    def drawn(self) -> int:
        """Number of sentences in an epoch."""
        return len(self) if self._repeats is None else drawn(self._repeats)

    def epoch(self, *, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Every sentence once, or as often as `repeats` says, in batches of `size`.

        Each of several processes gets its share of a batch that is `size` times their number; the
        mean of their costs, each times its weight, is the cost of that batch.
        """
        size *= processes()
        random = np.random.default_rng((seed, epoch))
        repeats = self._repeats
        order = random.permutation(len(self)) if repeats is None else repeated(repeats, random)
        pools = [order[at : at + _POOL * size] for at in range(0, len(order), _POOL * size)]
        batches = [
            pool[at : at + size]
            for pool in (pool[np.argsort(self._lengths[pool], kind="stable")] for pool in pools)
            for at in range(0, len(pool), size)
        ]
        for index in random.permutation(len(batches)):
            chosen = batches[index]
            mirror = (random.random(len(chosen)) < 0.5) & ~self._sided[chosen]
            own = share(len(chosen))
            weight = own.weight((self._lengths[chosen] + 1).tolist())
            yield self._collate(chosen[own.items], mirror[own.items], weight)

    def in_order(self, *, size: int = _TOGETHER) -> Iterator[Batch]:
        """Every sentence once, in the order of the data set, unmirrored."""
        for at in range(0, len(self), size):
            chosen = np.arange(at, min(at + size, len(self)))
            yield self._collate(chosen, np.zeros(len(chosen), bool), 1.0)

    def _collate(self, chosen: np.ndarray, mirror: np.ndarray, weight: float) -> Batch:
        sentences = collate([self._sentences[index] for index in chosen], self._vocabulary)
        rows = self._rows[chosen]
        features = self._table.features[rows]
        if self._table.mirrored is not None:
            features = np.where(mirror[:, None], self._table.mirrored[rows], features)
        return Batch(
            inputs=sentences.inputs,
            mask=sentences.mask,
            targets=sentences.targets,
            features=torch.from_numpy(features),
            weight=torch.tensor(weight),
        )
