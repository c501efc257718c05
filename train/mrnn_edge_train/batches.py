"""Training batches: sentences of like length side by side, a pure function of (seed, epoch).

Takes tokenised pictures and their feature table, gives tensors. A picture is seen as it is or in
the mirror, by the toss of a coin; a sentence that says left or right, only as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.augment import is_sided
from mrnn_edge_train.distributed import share
from mrnn_edge_train.distributed import size as processes
from mrnn_edge_train.features import FeatureTable
from mrnn_edge_train.flickr8k import CaptionedImage

_POOL = 20
"""Batches whose sentences are sorted by length together."""
_TOGETHER = 500
"""Sentences side by side where nothing is learnt from them."""


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
    """A scalar, by which the cost counts: 1, but where several processes share a batch."""


def collate(sentences: Sequence[Sequence[int]], vocabulary: Vocabulary) -> Sentences:
    """Ids of sentences, without signs -> what is fed and what is to be predicted."""
    return collate_drawn([(*sentence, vocabulary.end) for sentence in sentences], vocabulary)


def collate_drawn(drawn: Sequence[Sequence[int]], vocabulary: Vocabulary) -> Sentences:
    """As `collate`, of ids that are all to be predicted; with no end sign if they were cut off."""
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
    """How many `repeated` gives."""
    whole = np.floor(repeats)
    return int(whole.sum()) + round(float((repeats - whole).sum()))


def repeated(repeats: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of items in random order, each as often as `repeats` [N] says of it.

    Of what is over a whole number so many items come once more as the parts add up to.
    """
    whole = np.floor(repeats).astype(np.int64)
    chosen, part = np.repeat(np.arange(len(repeats)), whole), repeats - whole
    if left := drawn(repeats) - len(chosen):
        more = random.choice(len(repeats), left, replace=False, p=part / part.sum())
        chosen = np.concatenate([chosen, more])
    return random.permutation(chosen)


class Examples:
    """All sentences of a split, ready to be dealt into batches.

    `repeats` says of each picture how often an epoch has its sentences; once where left out.
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
        """Sentences of an epoch."""
        if self._repeats is None:
            return len(self)
        return drawn(self._repeats)

    def _order(self, random: np.random.Generator) -> np.ndarray:
        """The sentences of an epoch by number, in random order."""
        if self._repeats is None:
            return random.permutation(len(self))
        return repeated(self._repeats, random)

    def epoch(self, *, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Every sentence once, or as often as it is to be, in batches of `size`.

        The last one is smaller. Of several processes each gets its share of a batch as large as all
        of theirs together, and the mean of their costs, each times its weight, is the cost of that
        batch.
        """
        size *= processes()
        random = np.random.default_rng((seed, epoch))
        order = self._order(random)
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
        """Every sentence once, in the order of the data set, nothing in the mirror."""
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
