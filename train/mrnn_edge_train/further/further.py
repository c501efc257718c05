"""Train an existing model further on other pictures; its CNN is unchanged.

All weights of the step are trained: fifty pictures are too few for a CNN, but enough for a style.
New words start as in teach.py, from the words that the model expects in their place. Takes image
vectors and sentences, yields figures and keeps the best epoch's weights; reads no file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch

from mrnn_edge.timing import Track, untracked
from mrnn_edge.vocab import Vocabulary, build_vocabulary
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.further.teach import first_guess
from mrnn_edge_train.network.cost import bits_per_word
from mrnn_edge_train.network.folded import FoldedStep
from mrnn_edge_train.stages.batches import Examples
from mrnn_edge_train.stages.features import FeatureTable
from mrnn_edge_train.stages.validation import perplexity

EPOCHS: Final = 15
_BATCH: Final = 16
_RATE: Final = 1e-3
_DROP: Final = 0.3
_CLIP: Final = 5.0
_MINIMUM_COUNT: Final = 2
"""Occurrences in the training sentences that add a word."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """A split with its image vectors from the model's encoder."""

    images: Sequence[CaptionedImage]
    table: FeatureTable


@dataclass(frozen=True, kw_only=True)
class FurtherFigures:
    """The figures of an epoch."""

    epoch: int
    train_bits: float
    dev_perplexity: float
    best: bool


@dataclass
class Further:
    """Training by epochs; afterwards `step` holds the best weights."""

    step: FoldedStep
    vocabulary: Vocabulary
    train: Pictures
    dev: Pictures
    seed: int
    new_words: tuple[str, ...] = field(init=False)
    """Added from the training sentences to `vocabulary`."""
    best: float = field(init=False)
    """Dev perplexity of `step`."""

    def __post_init__(self) -> None:
        self.step = self.step.merged().eval()
        self._add_new_words()
        self.best = self._dev_perplexity(self.step)

    def run(self, epochs: int = EPOCHS, *, track: Track = untracked) -> Iterator[FurtherFigures]:
        """Train with Adam at a falling rate. Same seed and machine: same weights."""
        torch.manual_seed(self.seed)
        network = FoldedStep(self.step.weights())
        examples = Examples(self.train.images, self.train.table, self.vocabulary)
        optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
        for epoch in range(1, epochs + 1):
            batches = list(examples.epoch(size=_BATCH, seed=self.seed, epoch=epoch))
            bits = 0.0
            for group in optimiser.param_groups:
                group["lr"] = _RATE * (1.0 - (epoch - 1) / epochs)
            for batch in track(batches, f"epoch {epoch}", len(batches)):
                logits = network(batch.inputs, batch.features, batch.mask, _DROP)
                cost = bits_per_word(logits, batch.targets)
                optimiser.zero_grad()
                torch.autograd.backward(cost)
                torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
                optimiser.step()
                bits += float(cost.detach()) / len(batches)
            found = self._dev_perplexity(network)
            best = found < self.best
            if best:
                self.best, self.step = found, FoldedStep(network.weights()).eval()
            yield FurtherFigures(epoch=epoch, train_bits=bits, dev_perplexity=found, best=best)

    def _add_new_words(self) -> None:
        sentences = [words for image in self.train.images for words in image.sentences]
        found = build_vocabulary(sentences, minimum_count=_MINIMUM_COUNT).words[3:]
        self.new_words = self.vocabulary.lacks(found)
        for word in self.new_words:
            grown = Vocabulary((*self.vocabulary.words, word), self.vocabulary.special)
            examples = Examples(self.train.images, self.train.table, grown)
            with torch.no_grad():
                rows = first_guess(self.step, examples.in_order(), grown)
            weights = {**self.step.weights(), **self.step.with_rows(rows)}
            self.step, self.vocabulary = FoldedStep(weights).merged().eval(), grown

    def _dev_perplexity(self, network: FoldedStep) -> float:
        examples = Examples(self.dev.images, self.dev.table, self.vocabulary)
        return perplexity(network, examples.in_order())
