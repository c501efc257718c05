"""Teach an existing model a new word; all other weights are unchanged.

    Mao et al. 2015, "Learning like a child": only the new word's weights are learnt.

These are its rows of the two tables (its effect on later words) and its row and bias of the softmax
(when it is used). They start as the mean of the rows of the words that the model expects in its
place, weighted by probability. Two things restrain the word: captions of typical training pictures,
of which the model carries a hundred (prior.npy), and the sentences of the lesson with those
pictures in place of their own. Takes image vectors and sentences, gives weights; reads no file.
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
"""Weight decay of the rows towards their start."""
_RESTRAINT: Final = 10.0
"""Weight of the places where the word must not appear."""
_REHEARSED: Final = 5
"""Captions for each typical picture."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A word, and pictures with sentences; some use it."""

    word: str
    images: Sequence[CaptionedImage]
    table: FeatureTable
    """Image vectors of these pictures from the model's encoder."""
    typical: Floats
    """float32 [K, M], image vectors of typical training pictures."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """The model with the word, and its effect on captions."""

    step: FoldedStep
    vocabulary: Vocabulary
    says: int
    """Pictures of the lesson with the word in their sentences whose caption uses it now."""
    taught_on: int
    """Pictures of the lesson with the word in their sentences."""
    kept: int
    """Typical pictures with an unchanged caption."""
    typical: int
    unknown: tuple[str, ...]
    """Words of the lesson that the model lacks, apart from the new one."""


def parse_word(word: str, vocabulary: Vocabulary) -> str:
    """The word in its vocabulary form. Raises OptionError if it is not one word, or is known."""
    tokens = tokenize(word)
    if len(tokens) != 1:
        raise OptionError(f"{word!r} is not one word of letters and digits; teach one at a time")
    if not vocabulary.lacks(tokens):
        raise OptionError(f"the model knows {tokens[0]!r} already; teach another word")
    return tokens[0]


def check_lesson(word: str, images: Sequence[CaptionedImage]) -> None:
    """Raise DatasetError unless two pictures or more are described with the word."""
    found = sum(any(word in words for words in image.sentences) for image in images)
    if found < 2:
        raise DatasetError(
            f"{found} of {len(images)} pictures have {word!r} in a sentence; at least two are "
            "needed, and ten are better"
        )


def teach(
    step: FoldedStep,
    vocabulary: Vocabulary,
    lesson: Lesson,
    decoding: DecodeOptions,
    *,
    track: Track = untracked,
) -> Taught:
    """The model with the word; the same lesson gives the same weights. `step` is unchanged.

    `decoding` is the search for the captions of `says` and `kept`.
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
    """The mean of the old words' rows, weighted by the model's expectation in the word's place.

    float32 [1, ...] by the name of the weight.
    """
    new = step.vocabulary
    expected = torch.zeros(new)
    for batch in batches:
        # The new word has no row yet; the unknown word replaces it.
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
    """P places where the new word must not appear."""

    projected: Tensor
    """float32 [P, E or M], the factor of the word's row."""
    total: Tensor
    """float32 [P], the log-sum-exp over all other words."""

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
    """m(t) [P, M] at every position of the model's captions of the typical pictures."""
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
        outputs = step.states(inputs)
        for row, tokens in enumerate(batch.inputs.tolist()):
            if new in tokens:
                before = tokens.index(new) - 1
                token = torch.tensor(tokens[before])
                yield step.multimodal(token, outputs[row, before], typical)


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
