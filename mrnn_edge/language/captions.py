"""From image vectors to captions: the caller's wishes, a search or a draw, words and confidence.

Takes image vectors and DecodeOptions, gives captions; knows no pictures and no files. Its
counterpart for sentences that people give is sentences.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.decode.beam import beam_search
from mrnn_edge.decode.constraints import Constraints
from mrnn_edge.decode.hypotheses import Hypothesis, SearchSpace, StepFunction
from mrnn_edge.decode.score import BITS_PER_NAT, path_log_probs
from mrnn_edge.errors import ConstraintError, InputError, OptionError
from mrnn_edge.language.records import Alternative, Caption, Word
from mrnn_edge.options import DecodeOptions
from mrnn_edge.vocab import Vocabulary, tokenize


@dataclass(frozen=True)
class Decoded:
    """What was found for a picture."""

    hypotheses: list[Hypothesis]
    """Best first; none where a required word found no place."""
    habit: NDArray[np.float64] | None
    """Natural log-probabilities of the best one's words under the mean training image."""


@dataclass(frozen=True, kw_only=True)
class CaptionGenerator:
    """The step, the words and the prior of a model, brought together."""

    step: StepFunction
    vocabulary: Vocabulary
    space: SearchSpace
    prior: PriorVectors | None
    length_penalty: float
    """The model's own, where the caller wishes no other."""
    model: str
    device: str
    precision: str

    def constraints(self, options: DecodeOptions) -> Constraints:
        """The wishes for words as ids.

        Raises OptionError for a required word that cannot come, and for a least confidence where
        there is no prior to measure it by.
        """
        if options.min_confidence is not None and self.prior is None:
            raise OptionError(
                f"{self.model} carries no prior and so gives no confidence; leave the least "
                "confidence out, or take a model that has one (`mrnn-edge info`)"
            )
        wanted, unwanted = _single_words(options.require), _single_words(options.forbid)
        if unknown := self.vocabulary.lacks(wanted):
            raise OptionError(
                f"require: the vocabulary lacks {', '.join(unknown)}; take another word"
            )
        if both := [word for word in wanted if word in unwanted]:
            raise OptionError(
                f"{', '.join(both)} is required and forbidden; take one of the wishes back"
            )
        # A forbidden word that the model does not know could not come anyway.
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
        """Sentences for image vectors [N, M]. Raises NumericalError as the search does."""
        found = self._search(vectors, options, constraints)
        if self.prior is None:
            return [Decoded(hypotheses, None) for hypotheses in found]
        best = [hypotheses[0] for hypotheses in found if hypotheses]
        habits = iter(path_log_probs(self.step, self.prior.mean, best, self.space))
        return [Decoded(hypotheses, next(habits) if hypotheses else None) for hypotheses in found]

    def caption(
        self,
        decoded: Decoded,
        options: DecodeOptions,
        *,
        frames: int,
        notes: tuple[str, ...],
        timing_ms: dict[str, float],
    ) -> Caption | InputError:
        """The record of what was found, or the error that a required word found no place.

        `frames`, `notes` and `timing_ms` are what the record says of the picture.
        """
        if not decoded.hypotheses:
            return ConstraintError(
                f"no sentence of at most {options.max_words} words was found that holds "
                f"{', '.join(options.require)}; require less, or allow more words or a wider beam"
            )
        best, habit = decoded.hypotheses[0], decoded.habit
        words = self._spell(best, options)
        log2_prob, perplexity = figures(best.log_prob, len(words))
        confidence = None if habit is None else log2_prob - float(habit.sum()) * BITS_PER_NAT
        reason = _too_unsure(confidence, options.min_confidence)
        return Caption(
            text=None if reason else " ".join(words),
            reason=reason,
            log2_prob=log2_prob,
            perplexity=perplexity,
            confidence=confidence,
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
        """The n best by rank, in order of probability; none where one was wanted."""
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
        """Its words; those of the prefix as they were given, known to the model or not."""
        given = tokenize(options.prefix)
        return (*given, *self.vocabulary.decode(hypothesis.tokens[len(given) :]))


def figures(log_prob: float, words: int) -> tuple[float, float]:
    """log2 probability in bits, and perplexity, of a sentence of so many words."""
    log2_prob = log_prob * BITS_PER_NAT
    # 2 ** 1024 would overflow: a sentence that the model holds impossible stays a number.
    return log2_prob, 2.0 ** min(-log2_prob / (words + 1), 1023.0)


def to_words(
    words: Sequence[str],
    log_probs: Sequence[float] | NDArray[np.float64],
    habit: NDArray[np.float64] | None,
) -> tuple[Word, ...]:
    """Words with their natural log-probabilities under the image and under the mean vector.

    The end sign's number, where there is one, stands last and belongs to no word.
    """
    found = np.asarray(log_probs, np.float64)
    grounding = [None] * len(found) if habit is None else ((found - habit) * BITS_PER_NAT).tolist()
    return tuple(map(_word, words, np.exp(found).tolist(), grounding))


def _word(word: str, prob: float, grounding: float | None) -> Word:
    return Word(word=word, prob=prob, grounding=grounding)


def search_space(vocabulary: Vocabulary, *, state: int) -> SearchSpace:
    """What the decoder may generate of a vocabulary: never the start and the unknown word."""
    return SearchSpace(
        start=vocabulary.start,
        end=vocabulary.end,
        banned=(vocabulary.start, vocabulary.unknown),
        state=state,
    )


def _single_words(words: Sequence[str]) -> list[str]:
    """Words as the vocabulary has them, each once."""
    return list(dict.fromkeys(token for word in words for token in tokenize(word)))


def _too_unsure(confidence: float | None, least: float | None) -> str | None:
    if confidence is None or least is None or confidence >= least:
        return None
    return f"not sure: {confidence:.1f} bits of evidence from the image, {least:g} were asked for"
