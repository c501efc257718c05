"""From image vectors to captions: options, a search or a sample, words, evidence and confidence.

Takes image vectors and DecodeOptions, returns captions; knows no pictures and no files. For given
sentences there is sentences.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import ConfidenceWeights
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.decode.beam import beam_search
from mrnn_edge.decode.constraints import Constraints
from mrnn_edge.decode.hypotheses import Hypothesis, SearchSpace, StepFunction
from mrnn_edge.decode.score import BITS_PER_NAT, path_log_probs
from mrnn_edge.errors import ConstraintError, InputError, OptionError
from mrnn_edge.language.confidence import caption_features, confidence
from mrnn_edge.language.records import Alternative, Caption, Word
from mrnn_edge.options import DecodeOptions
from mrnn_edge.vocab import Vocabulary, tokenize


@dataclass(frozen=True)
class Decoded:
    """The result for one picture."""

    hypotheses: list[Hypothesis]
    """Best first; empty if no sentence holds the required words."""
    habit: NDArray[np.float64] | None
    """float64 [words], natural log-probabilities of the best one under the mean training image."""
    image: Floats
    """float32 [M], the image vector."""


@dataclass(frozen=True, kw_only=True)
class CaptionGenerator:
    """Captions by the step, the vocabulary and the prior of a model."""

    step: StepFunction
    vocabulary: Vocabulary
    space: SearchSpace
    prior: PriorVectors | None
    weights: ConfidenceWeights | None
    """Of the confidence; None: the model gives none."""
    length_penalty: float
    """The model's default."""
    model: str
    device: str
    precision: str

    def constraints(self, options: DecodeOptions) -> Constraints:
        """The options about words, as ids.

        Raises OptionError for a required word that cannot come, and for a minimum confidence if
        the model gives no confidence.
        """
        if options.min_confidence is not None and (self.weights is None or self.prior is None):
            raise OptionError(
                f"{self.model} gives no confidence; leave the minimum confidence out, or use a "
                "model that has it (`mrnn-edge info`)"
            )
        wanted, unwanted = _single_words(options.require), _single_words(options.forbid)
        if unknown := self.vocabulary.lacks(wanted):
            raise OptionError(
                f"require: the vocabulary lacks {', '.join(unknown)}; take another word"
            )
        if both := [word for word in wanted if word in unwanted]:
            raise OptionError(f"{', '.join(both)} is required and forbidden; drop one of the two")
        # Unknown words cannot come anyway.
        lacking = self.vocabulary.lacks(unwanted)
        return Constraints(
            prefix=tuple(self.vocabulary.encode(tokenize(options.prefix))),
            forbidden=tuple(self.vocabulary.encode(w for w in unwanted if w not in lacking)),
            required=tuple(self.vocabulary.encode(wanted)),
            no_repeat_ngram=options.no_repeat_ngram,
        )

    def decode(
        self, vectors: Floats, options: DecodeOptions, constraints: Constraints
    ) -> list[Decoded]:
        """Sentences for image vectors float32 [N, M]. Raises NumericalError."""
        found = self._search(vectors, options, constraints)
        habits: Iterator[NDArray[np.float64] | None] = repeat(None)
        if self.prior is not None:
            best = [hypotheses[0] for hypotheses in found if hypotheses]
            habits = iter(path_log_probs(self.step, self.prior.mean, best, self.space))
        return [
            Decoded(hypotheses, next(habits) if hypotheses else None, image)
            for hypotheses, image in zip(found, vectors, strict=True)
        ]

    def features(self, decoded: Decoded) -> dict[str, float] | None:
        """The features of the best sentence's confidence; None without a sentence or a prior."""
        if self.prior is None or decoded.habit is None:
            return None
        best, content = decoded.hypotheses[0], self.vocabulary.content
        return caption_features(best, decoded.habit, content, decoded.image, self.prior)

    def confidence(self, decoded: Decoded) -> float | None:
        """The confidence in the best sentence; None if the model gives none."""
        features = None if self.weights is None else self.features(decoded)
        if self.weights is None or features is None:
            return None
        return confidence(self.weights, features)

    def caption(
        self,
        decoded: Decoded,
        options: DecodeOptions,
        *,
        frames: int,
        notes: tuple[str, ...],
        timing_ms: dict[str, float],
    ) -> Caption | InputError:
        """The record of a result, or an error if no sentence holds the required words.

        `frames`, `notes` and `timing_ms` are copied into the record.
        """
        if not decoded.hypotheses:
            return ConstraintError(
                f"no sentence of at most {options.max_words} words was found that holds "
                f"{', '.join(options.require)}; require less, or allow more words or a wider beam"
            )
        best, habit = decoded.hypotheses[0], decoded.habit
        words = self._spell(best, options)
        log2_prob, perplexity = figures(best.log_prob, len(words))
        sure = self.confidence(decoded)
        reason = _too_unsure(sure, options.min_confidence)
        return Caption(
            text=None if reason else " ".join(words),
            reason=reason,
            log2_prob=log2_prob,
            perplexity=perplexity,
            confidence=sure,
            evidence=evidence_of(log2_prob, habit),
            words=() if reason else to_words(words, best.log_probs, habit),
            alternatives=() if reason else self._alternatives(decoded.hypotheses, options),
            unknown_words=self.vocabulary.lacks(tokenize(options.prefix)),
            truncated=not best.ended,
            model=self.model,
            device=self.device,
            precision=self.precision,
            frames=frames,
            notes=notes,
            timing_ms=timing_ms,
        )

    def _search(
        self, vectors: Floats, options: DecodeOptions, constraints: Constraints
    ) -> list[list[Hypothesis]]:
        if options.sampling is None:
            penalty = options.length_penalty
            return beam_search(
                self.step,
                vectors,
                self.space,
                width=options.width,
                max_words=options.max_words,
                length_penalty=self.length_penalty if penalty is None else penalty,
                wanted=options.nbest,
                constraints=constraints,
            )
        from mrnn_edge.decode.sample import sample  # a search does without

        drawn = sample(
            self.step,
            vectors,
            self.space,
            max_words=options.max_words,
            sampling=options.sampling,
            constraints=constraints,
        )
        return [[hypothesis] for hypothesis in drawn]

    def _alternatives(
        self, hypotheses: list[Hypothesis], options: DecodeOptions
    ) -> tuple[Alternative, ...]:
        """The n best by rank, in order of probability; empty for n = 1."""
        if options.nbest == 1:
            return ()
        return tuple(
            Alternative(
                caption=" ".join(self._spell(each, options)),
                log2_prob=each.log_prob * BITS_PER_NAT,
            )
            for each in sorted(hypotheses[: options.nbest], key=lambda each: -each.log_prob)
        )

    def _spell(self, hypothesis: Hypothesis, options: DecodeOptions) -> tuple[str, ...]:
        """Its words; those of the prefix as given, known to the model or not."""
        given = tokenize(options.prefix)
        return (*given, *self.vocabulary.decode(hypothesis.tokens[len(given) :]))


def figures(log_prob: float, words: int) -> tuple[float, float]:
    """log2 probability in bits, and perplexity, of a sentence from its natural log-probability."""
    log2_prob = log_prob * BITS_PER_NAT
    # 2 ** 1024 would overflow: an impossible sentence has a finite perplexity.
    return log2_prob, 2.0 ** min(-log2_prob / (words + 1), 1023.0)


def evidence_of(log2_prob: float, habit: NDArray[np.float64] | None) -> float | None:
    """The evidence in bits of a sentence with natural log-probabilities float64 [words] by habit,
    the end sign included; None without them."""
    return None if habit is None else log2_prob - float(habit.sum()) * BITS_PER_NAT


def to_words(
    words: Sequence[str],
    log_probs: Sequence[float] | NDArray[np.float64],
    habit: NDArray[np.float64] | None,
) -> tuple[Word, ...]:
    """Words with natural log-probabilities [words] under the image and under the mean vector.

    A further number at the end belongs to the end sign.
    """
    found = np.asarray(log_probs, np.float64)
    grounding = [None] * len(found) if habit is None else ((found - habit) * BITS_PER_NAT).tolist()
    scored = zip(words, np.exp(found).tolist(), grounding, strict=False)
    return tuple(Word(word=word, prob=prob, grounding=bits) for word, prob, bits in scored)


def search_space(vocabulary: Vocabulary, *, state: int) -> SearchSpace:
    """The vocabulary for the decoder, which never generates the start and unknown words."""
    return SearchSpace(
        start=vocabulary.start,
        end=vocabulary.end,
        banned=(vocabulary.start, vocabulary.unknown),
        state=state,
        conjunction=None if vocabulary.lacks(["and"]) else vocabulary.encode(["and"])[0],
        content=vocabulary.content,
    )


def _single_words(words: Sequence[str]) -> list[str]:
    """The tokens of the words, each once."""
    return list(dict.fromkeys(token for word in words for token in tokenize(word)))


def _too_unsure(sure: float | None, least: float | None) -> str | None:
    if sure is None or least is None or sure >= least:
        return None
    return f"not sure: confidence {sure:.2f}, {least:g} required"
