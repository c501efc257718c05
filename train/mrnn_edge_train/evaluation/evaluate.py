"""Measure a model on a split of a data set, through ONNX Runtime as users run it.

Takes a Captioner and pictures with references, gives figures. No torch (extras `cpu` and `eval`).
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from mrnn_edge.arrays import Floats
from mrnn_edge.captioner import Captioner
from mrnn_edge.decode.cross import sentence_log_probs
from mrnn_edge.decode.score import BITS_PER_NAT
from mrnn_edge.options import DecodeOptions
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.evaluation.metrics import CaptionScores, distinct_ngrams, score_captions

Choice = Callable[[Floats, Sequence[tuple[str, ...]]], int]
"""A picture's vector float32 [M] and its candidates, best first -> the number of the chosen one."""

_CHUNK = 20
"""Pictures encoded, captioned and scored together."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures of a model on a split."""

    images: int
    perplexity: float
    """2 ** (mean bits a word) over all references; the end sign counts, unknown words score as
    the unknown word."""
    scores: CaptionScores
    novel: float
    """Share of the captions that no training sentence equals word for word."""
    vocabulary_used: int
    """Different words in all captions."""
    distinct: tuple[float, float, float]
    """Different n-grams as a share of all n-grams of the captions, for n = 1, 2, 3."""
    mean_words: float
    """Mean length of the captions in words."""
    captions: tuple[tuple[str, str], ...]
    """File name and caption."""
    confidences: tuple[float, ...] = ()
    """Of the first captions of the beam; empty if the model gives none."""

    def to_record(self) -> dict[str, Any]:
        """The figures of `eval --json`, the captions left out."""
        scores = self.scores
        return {
            "images": self.images,
            "perplexity": self.perplexity,
            "bleu": list(scores.bleu),
            "cider": scores.cider,
            "rouge_l": scores.rouge_l,
            **({} if scores.meteor is None else {"meteor": scores.meteor}),
            "novel": self.novel,
            "vocabulary_used": self.vocabulary_used,
            "distinct": list(self.distinct),
            "mean_words": self.mean_words,
        }


def image_vectors(
    captioner: Captioner, images: Sequence[CaptionedImage], *, track: Track = untracked
) -> Floats:
    """The image vectors float32 [N, M] of all pictures, each read and encoded once.

    Raises the InputError of an unreadable picture: figures over part of a split are not comparable.
    """
    vectors = []
    starts = range(0, len(images), _CHUNK)
    for start in track(starts, "encode", len(starts)):
        chunk = images[start : start + _CHUNK]
        pixels = np.stack([captioner.read(image.path).pixels for image in chunk])
        vectors.append(captioner.graphs.encoder(pixels))
    return np.concatenate(vectors)


def first(_vector: Floats, _candidates: Sequence[tuple[str, ...]]) -> int:
    """The choice of the search: the first candidate of any float32 [M]."""
    return 0


def evaluate(
    captioner: Captioner,
    images: Sequence[CaptionedImage],
    vectors: Floats,
    known: AbstractSet[tuple[str, ...]],
    options: DecodeOptions,
    *,
    choose: Choice = first,
    meteor: bool = True,
    track: Track = untracked,
) -> Evaluation:
    """Caption the pictures from their vectors [N, M] and score their references.

    `known` holds the training sentences, from which a caption must differ to be novel. The caption
    is what `choose` takes of the `options.nbest` best of the beam. METEOR starts a Java, where
    there is one; `meteor` false leaves it out.
    """
    captions: list[tuple[str, ...]] = []
    confidences: list[float | None] = []
    bits, positions = 0.0, 0
    constraints = captioner.captions.constraints(options)
    decode = captioner.bundle.vocabulary.decode
    starts = range(0, len(images), _CHUNK)
    for start in track(starts, "evaluate", len(starts)):
        chunk = slice(start, start + _CHUNK)
        found = captioner.captions.decode(vectors[chunk], options, constraints)
        for vector, decoded in zip(vectors[chunk], found, strict=True):
            best = [decode(each.tokens) for each in decoded.hypotheses[: options.nbest]]
            captions.append(best[choose(vector, best)])
            confidences.append(captioner.captions.confidence(decoded))
        chunk_bits, chunk_positions = _reference_bits(captioner, images[chunk], vectors[chunk])
        bits += chunk_bits
        positions += chunk_positions
    return Evaluation(
        images=len(images),
        perplexity=float(2.0 ** (bits / positions)),
        scores=score_captions([image.sentences for image in images], captions, meteor=meteor),
        novel=sum(caption not in known for caption in captions) / len(captions),
        vocabulary_used=len({word for caption in captions for word in caption}),
        distinct=(
            distinct_ngrams(captions, 1),
            distinct_ngrams(captions, 2),
            distinct_ngrams(captions, 3),
        ),
        mean_words=sum(map(len, captions)) / len(captions),
        captions=tuple(
            (image.name, " ".join(caption)) for image, caption in zip(images, captions, strict=True)
        ),
        confidences=tuple(each for each in confidences if each is not None),
    )


def _reference_bits(
    captioner: Captioner, images: Sequence[CaptionedImage], vectors: Floats
) -> tuple[float, int]:
    """Bits of all references of the pictures, and how many words and end signs they are."""
    rows = [row for row, image in enumerate(images) for _ in image.sentences]
    encode = captioner.bundle.vocabulary.encode
    sentences = [encode(words) for image in images for words in image.sentences]
    scored = sentence_log_probs(captioner.graphs.step, vectors[rows], sentences, captioner.space)
    bits = -sum(float(each.sum()) for each in scored) * BITS_PER_NAT
    return bits, sum(len(each) for each in scored)
