"""A new word for a model that is there already, all else left as it is.

    Mao et al. 2015, "Learning like a child": only the new word's weights are learnt.

Those are its rows of the two tables (what it does to the words after it) and its row and bias of
the softmax (when it is said). They start as the mean of the rows of the words that the model
itself expects where the new one stands, by their probabilities. Two things hold the word back
from where it does not belong: what the model says of pictures like those that it was trained on,
of which it carries a hundred (prior.npy), and the sentences of the lesson with those pictures in
place of their own. Takes image vectors and sentences, gives weights; reads no file.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from mrnn_edge.arrays import Floats
from mrnn_edge.decode.beam import beam_search
from mrnn_edge.errors import DatasetError, OptionError
from mrnn_edge.language.captions import search_space
from mrnn_edge.options import DecodeOptions
from mrnn_edge.timing import Track, untracked
from mrnn_edge.vocab import Vocabulary, tokenize
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.network.cost import bits_per_word
from mrnn_edge_train.network.folded import FoldedStep
from mrnn_edge_train.stages.batches import Batch, Examples, Sentences, collate
from mrnn_edge_train.stages.features import FeatureTable
from mrnn_edge_train.stages.validation import best_sentences, step_function

_STEPS: Final = 300
_BATCH: Final = 64
_RATE: Final = 0.02
_DECAY: Final = 1e-3
"""Pull of the rows to where they started."""
_RESTRAINT: Final = 10.0
"""Weight of the places where the word does not belong."""
_REHEARSED: Final = 5
"""Sentences for each typical picture that the model was trained on."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A word, and pictures with sentences that use it."""

    word: str
    images: Sequence[CaptionedImage]
    table: FeatureTable
    """Image vectors of these pictures, of the model's encoder."""
    typical: Floats
    """[K, M], image vectors of pictures like those that the model was trained on."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A model with the word, and what became of it."""

    step: FoldedStep
    vocabulary: Vocabulary
    says: int
    """Pictures of the lesson with the word in their sentences whose caption uses it now."""
    taught_on: int
    """Pictures of the lesson with the word in their sentences."""
    kept: int
    """Typical pictures whose caption is what it was."""
    typical: int
    unknown: tuple[str, ...]
    """Words of the lesson that the model lacks, apart from the new one."""


def parse_word(word: str, vocabulary: Vocabulary) -> str:
    """The word as it will stand in the vocabulary. Raises OptionError if it is none, or known."""
    tokens = tokenize(word)
    if len(tokens) != 1:
        raise OptionError(f"{word!r} is not one word of letters and digits; teach one at a time")
    if not vocabulary.lacks(tokens):
        raise OptionError(f"the model knows {tokens[0]!r} already; nothing is to be taught")
    return tokens[0]


def check_lesson(word: str, images: Sequence[CaptionedImage]) -> None:
    """Raise DatasetError unless two pictures or more are described with the word."""
    found = sum(any(word in words for words in image.sentences) for image in images)
    if found < 2:
        raise DatasetError(
            f"{found} of {len(images)} pictures have {word!r} in a sentence; two at least are "
            "needed, and ten teach it better"
        )


def teach(
    step: FoldedStep,
    vocabulary: Vocabulary,
    lesson: Lesson,
    decoding: DecodeOptions,
    *,
    track: Track = untracked,
) -> Taught:
    """The model with the word; the same lesson gives the same weights. `step` is not changed.

    `decoding` is the search by which `says` and `kept` are counted.
    """
    step = FoldedStep(step.weights()).eval().requires_grad_(False)
    grown = Vocabulary((*vocabulary.words, lesson.word), vocabulary.special)
    examples = Examples(lesson.images, lesson.table, grown)
    batches = list(examples.in_order(size=_BATCH))
    rows = first_guess(step, batches, grown)
    start = {name: value.clone() for name, value in rows.items()}
    restraint = _Restraint.of(step, vocabulary, lesson, batches)
    for value in rows.values():
        value.requires_grad_()
    optimiser = torch.optim.Adam(list(rows.values()), lr=_RATE)
    for number in track(range(_STEPS), f"teaching {lesson.word}", _STEPS):
        batch = batches[number % len(batches)]
        cost = _bits(step, rows, batch, grown) + _RESTRAINT * restraint.bits(rows)
        cost = cost + _DECAY * sum((rows[name] - start[name]).square().sum() for name in rows)
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (1.0 - number / _STEPS)
        optimiser.zero_grad()
        torch.autograd.backward(cost)
        optimiser.step()
    learnt = FoldedStep({**step.weights(), **step.with_rows(rows)}).eval()
    return _examined(step, learnt, vocabulary, grown, lesson, decoding)


def first_guess(
    step: FoldedStep, batches: Iterable[Batch], vocabulary: Vocabulary
) -> dict[str, Tensor]:
    """The mean of the old words' rows, by what the model expects where the new word stands."""
    new = step.vocabulary
    expected = torch.zeros(new)
    for batch in batches:
        # The new word's id is that of no row yet; the unknown word holds its place.
        tokens = batch.inputs.where(batch.inputs != new, torch.tensor(vocabulary.unknown))
        logits = step(tokens, batch.features, batch.mask)[batch.targets == new]
        expected += torch.softmax(logits, dim=-1).sum(dim=0)
    expected[[vocabulary.start, vocabulary.end, vocabulary.unknown]] = 0.0
    expected /= expected.sum()
    words = torch.cat([step.words, step.taught_words])
    bias = torch.cat([step.bias, step.taught_bias])
    return {
        "drive_table": expected[None] @ step.drive_table,
        "multimodal_table": expected[None] @ step.multimodal_table,
        "taught_words": expected[None] @ words,
        "taught_bias": expected[None] @ bias,
    }


def _bits(
    step: FoldedStep, rows: dict[str, Tensor], batch: Batch, vocabulary: Vocabulary
) -> Tensor:
    """Bits a word of the lesson's sentences, unknown words left out."""
    inputs = (batch.inputs, batch.features, batch.mask)
    logits = functional_call(step, step.with_rows(rows), inputs)
    known = batch.targets != vocabulary.unknown
    return bits_per_word(logits[known], batch.targets[known])


@dataclass(frozen=True, kw_only=True)
class _Restraint:
    """Places where the new word does not belong: P of them."""

    projected: Tensor
    """[P, E or M], what the word's row is multiplied with."""
    total: Tensor
    """[P], the logarithm of the sum over all other words' exponentials."""

    @classmethod
    def of(
        cls,
        step: FoldedStep,
        vocabulary: Vocabulary,
        lesson: Lesson,
        batches: Sequence[Batch],
    ) -> "_Restraint":
        hidden = torch.cat(
            [
                *_rehearsed(step, vocabulary, lesson.typical),
                *_misplaced(step, batches, torch.from_numpy(lesson.typical)),
            ]
        )
        projected = step.projected(hidden)
        return cls(projected=projected, total=torch.logsumexp(step.logits(projected), dim=-1))

    def bits(self, rows: dict[str, Tensor]) -> Tensor:
        """Mean of -log2 (1 - P(new word)), a scalar."""
        found = functional.linear(self.projected, rows["taught_words"], rows["taught_bias"])
        odds = found[:, 0] - self.total
        return functional.softplus(odds).mean() / float(np.log(2.0))


def _rehearsed(step: FoldedStep, vocabulary: Vocabulary, typical: Floats) -> Iterator[Tensor]:
    """m(t) [P, M] at every place of what the model says of the typical pictures."""
    space = search_space(vocabulary, state=step.recurrent.state_size)
    found = beam_search(step_function(step), typical, space, width=_REHEARSED, max_words=20)
    for vector, hypotheses in zip(torch.from_numpy(typical), found, strict=True):
        said = collate([each.tokens for each in hypotheses], vocabulary)
        image = vector.expand(int(said.mask.sum()), -1)
        yield step.multimodal(said.inputs[said.mask], step.states(said.inputs)[said.mask], image)


def _misplaced(step: FoldedStep, batches: Sequence[Sentences], typical: Tensor) -> Iterator[Tensor]:
    """m(t) [K, M] of the typical pictures where the lesson's sentences first use the word."""
    new = step.vocabulary
    for batch in batches:
        inputs = batch.inputs.where(batch.inputs != new, torch.tensor(0))
        shown = step.states(inputs)
        for row, tokens in enumerate(batch.inputs.tolist()):
            if new in tokens:
                before = tokens.index(new) - 1
                token = torch.tensor(tokens[before])
                yield step.multimodal(token, shown[row, before], typical)


def _examined(
    before: FoldedStep,
    after: FoldedStep,
    vocabulary: Vocabulary,
    grown: Vocabulary,
    lesson: Lesson,
    decoding: DecodeOptions,
) -> Taught:
    def captions(step: FoldedStep, vectors: Floats, words: Vocabulary) -> list[tuple[int, ...]]:
        space = search_space(words, state=step.recurrent.state_size)
        return best_sentences(step_function(step), vectors, space, decoding)

    uses = [any(lesson.word in words for words in image.sentences) for image in lesson.images]
    own = captions(after, lesson.table.features[uses], grown)
    old = captions(before, lesson.typical, vocabulary)
    new = captions(after, lesson.typical, grown)
    tokens = (token for image in lesson.images for words in image.sentences for token in words)
    return Taught(
        step=after,
        vocabulary=grown,
        says=sum(before.vocabulary in ids for ids in own),
        taught_on=len(own),
        kept=sum(one == other for one, other in zip(old, new, strict=True)),
        typical=len(old),
        unknown=grown.lacks(tokens),
    )
