"""Given sentences, scored and ranked for a picture, with and without it.

    score of a sentence       log2 P(w | I)
    evidence                  log2 P(w | I) - log2 P(w | mean training image)
    sentence retrieval        by P(w | I) / P(w)                           (Mao et al. 2014, §6)

Takes an image vector and text, returns records; knows no pictures and no files.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.decode.cross import cross_log_probs, log_mean_exp, sentence_log_probs
from mrnn_edge.decode.hypotheses import SearchSpace, StepFunction
from mrnn_edge.decode.score import BITS_PER_NAT
from mrnn_edge.errors import OptionError
from mrnn_edge.language.captions import evidence_of, figures, to_words
from mrnn_edge.language.records import Word
from mrnn_edge.options import Prior
from mrnn_edge.vocab import Vocabulary, tokenize

MAX_WORDS: Final = 1000
"""Limit of a sentence; sentences scored together are padded to the longest of them."""
_BLOCK: Final = 256
"""Sentences whose words are scored together."""
_STREAM: Final = 2048
"""Sentences of a stream in memory at a time; shared beginnings among them run once."""


@dataclass(frozen=True, kw_only=True)
class SentenceScore:
    """How likely a given sentence is for a picture."""

    sentence: str
    log2_prob: float
    """log2 P(sentence | image) in bits, the end sign included."""
    perplexity: float
    evidence: float | None
    """As `Caption.evidence`."""
    words: tuple[Word, ...]
    unknown_words: tuple[str, ...]
    """Words that the vocabulary lacks; each was scored as the unknown word."""

    def to_record(self) -> dict[str, Any]:
        """The JSON record of the command."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class RankedSentence(SentenceScore):
    """A sentence in its place among others."""

    rank: int
    """1 is the best."""
    score: float
    """log2 P(sentence | image) - log2 P(sentence) in bits, by the requested prior; without a prior
    the first alone."""

    def to_record(self) -> dict[str, Any]:
        """The JSON record of the command."""
        return {"rank": self.rank, "score": self.score, **super().to_record()}


@dataclass(frozen=True, kw_only=True)
class SentenceScorer:
    """Scores by the step, the vocabulary and the prior of a model."""

    step: StepFunction
    vocabulary: Vocabulary
    space: SearchSpace
    prior: PriorVectors | None
    threads: int
    """Calls of the step at a time, where there are many."""

    def score(self, image: Floats, sentences: Sequence[str]) -> list[SentenceScore]:
        """How likely each sentence is for the image vector float32 [M], in order.

        Raises OptionError for a sentence without a word.
        """
        scores: list[SentenceScore] = []
        for block in _blocks(sentences, _BLOCK):
            tokens = [_words_of(sentence) for sentence in block]
            ids = [self.vocabulary.encode(words) for words in tokens]
            found, habits = self._word_by_word(image, ids)
            for row, (sentence, words) in enumerate(zip(block, tokens, strict=True)):
                log2_prob, perplexity = figures(float(found[row].sum()), len(words))
                habit = None if habits is None else habits[row]
                scores.append(
                    SentenceScore(
                        sentence=sentence,
                        log2_prob=log2_prob,
                        perplexity=perplexity,
                        evidence=evidence_of(log2_prob, habit),
                        words=to_words(words, found[row], habit),
                        unknown_words=self.vocabulary.lacks(words),
                    )
                )
        return scores

    def rank(
        self,
        image: Floats,
        sentences: Iterable[str],
        *,
        best: int | None = None,
        prior: Prior | str | None = None,
    ) -> Iterator[RankedSentence]:
        """The sentences, best first by P(w | I) / P(w); ties in the order given.

        `image` is float32 [M]. `prior` defaults to that of the training pictures if the model has
        it; without one the order is by P(w | I). The whole stream is read first. With `best` only
        so many sentences, and 2,048 more, are in memory. Raises OptionError as `score` does, and
        for a prior that the model lacks.
        """
        kind = self._resolve(prior)
        self._check_prior(kind)
        kept: list[_Ranked] = []
        for block in _blocks(sentences, _STREAM):
            ids = [self.vocabulary.encode(_words_of(sentence)) for sentence in block]
            own = self.log2_probs(image[None], ids)[0]
            priors = self.log2_prior(ids, kind)
            for row, sentence in enumerate(block):
                score = float(own[row]) if priors is None else float(own[row] - priors[row])
                kept.append(_Ranked(sentence, float(own[row]), score))
            # Stable: ties stay in order.
            kept = sorted(kept, key=attrgetter("score"), reverse=True)[:best]
        for start in range(0, len(kept), _BLOCK):
            block_kept = kept[start : start + _BLOCK]
            spelt = self.score(image, [each.sentence for each in block_kept])
            for number, (found, each) in enumerate(zip(spelt, block_kept, strict=True), start + 1):
                fields = {**vars(found), "log2_prob": each.log2_prob}
                yield RankedSentence(rank=number, score=each.score, **fields)

    def log2_probs(self, images: Floats, ids: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """log2 P(w | I), float64 [N, S], of all sentences, as ids, for images float32 [N, M]."""
        found = cross_log_probs(self.step, images, ids, self.space, threads=self.threads)
        return found * BITS_PER_NAT

    def log2_prior(self, ids: Sequence[Sequence[int]], prior: Prior) -> NDArray[np.float64] | None:
        """log2 P(w), float64 [S], of sentences given as ids; None for Prior.NONE.

        Raises OptionError if the model has no prior.
        """
        self._check_prior(prior)
        if prior is Prior.NONE or self.prior is None:
            return None
        vectors, weights = self.prior.vectors(prior)
        found = cross_log_probs(self.step, vectors, ids, self.space, threads=self.threads)
        return log_mean_exp(found, weights) * BITS_PER_NAT

    def _check_prior(self, prior: Prior) -> None:
        if prior is not Prior.NONE and self.prior is None:
            raise OptionError(
                f"this model has no prior, so there is no {prior}; "
                "use the prior none, or a model that has one (`mrnn-edge info`)"
            )

    def _resolve(self, prior: Prior | str | None) -> Prior:
        if prior is None:
            return Prior.NONE if self.prior is None else Prior.TRAIN
        try:
            return Prior(prior)
        except ValueError:
            raise OptionError(f"prior is {prior!r}, expected one of {', '.join(Prior)}") from None

    def _word_by_word(
        self, image: Floats, ids: Sequence[Sequence[int]]
    ) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]] | None]:
        """Natural log-probabilities of each word, for the image [M] and for the mean vector."""
        vectors = [image] if self.prior is None else [image, self.prior.mean]
        rows = np.repeat(np.stack(vectors), len(ids), axis=0)
        found = sentence_log_probs(self.step, rows, [*ids] * len(vectors), self.space)
        return found[: len(ids)], found[len(ids) :] or None


class _Ranked(NamedTuple):
    """A sentence of a stream, and the numbers that rank it."""

    sentence: str
    log2_prob: float
    score: float


def _words_of(sentence: str) -> list[str]:
    words = list(tokenize(sentence))
    if not words:
        raise OptionError(f"the sentence {sentence!r} has no word; words are letters and digits")
    if len(words) > MAX_WORDS:
        raise OptionError(
            f"the sentence {sentence[:40]!r}… has {len(words)} words, at most {MAX_WORDS} are "
            "scored; cut it"
        )
    return words


def _blocks(sentences: Iterable[str], size: int) -> Iterator[list[str]]:
    stream = iter(sentences)
    while block := list(islice(stream, size)):
        yield block
