"""The options of captions and scores, as frozen dataclasses. Knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mrnn_edge.errors import OptionError
from mrnn_edge.vocab import tokenize

MAX_LENGTH_PENALTY = 10.0
"""Above it only the length counts, and the power of the length would overflow."""

MAX_REQUIRED = 8
"""Most required words; the search keeps a beam for each number of them."""


class Prior(StrEnum):
    """What a sentence's probability is measured against."""

    TRAIN = "train"
    """The mean of P(w | I') over the training pictures, in groups: the paper's."""
    MEAN = "mean"
    """P(w | the mean image vector): one pass in place of K."""
    NONE = "none"
    """Nothing: ranks by P(w | I)."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Sampling in place of a search. Raises OptionError for a value out of range."""

    temperature: float = 1.0
    """Below 1 favours likely words, above 1 unlikely ones."""
    top_k: int | None = None
    """Sample from so many likeliest words."""
    top_p: float | None = None
    """Sample from the fewest likeliest words that hold this share of the probability."""
    seed: int | None = None
    """The same seed gives the same sentence for a picture; None a new one each time."""

    def __post_init__(self) -> None:
        _check_range("temperature", self.temperature, 0.01, 100.0)
        if self.top_k is not None:
            _check_range("top_k", self.top_k, 1, 1_000_000)
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise OptionError(f"top_p is {self.top_p}, expected a share above 0, at most 1")
        if self.seed is not None:
            _check_range("seed", self.seed, 0, 2**63 - 1)


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """Options of a caption. Raises OptionError for a value out of range."""

    beam: int | None = None
    """Hypotheses kept at each step; 1 is greedy decoding, None is 3."""
    nbest: int = 1
    """Number of sentences; the beam is at least as wide."""
    sampling: Sampling | None = None
    """Sample one sentence in place of a search; excludes beam and nbest."""
    max_words: int = 20
    """Most words, the prefix included, the end sign not."""
    length_penalty: float | None = None
    """A sentence ranks by log_prob / (words + 1) ** length_penalty; None: the model's own."""
    prefix: str = ""
    """How the sentence begins."""
    no_repeat_ngram: int = 2
    """Word sequences of this length may not repeat in a sentence, no word may stand on both sides
    of "and", and no content word may come twice; 0 switches these rules off."""
    forbid: Sequence[str] = ()
    """Words that may not come, except in the prefix."""
    require: Sequence[str] = ()
    """Words that must come."""
    min_confidence: float | None = None
    """The confidence, 0 to 1, below which the caption is withheld; None: never."""

    def __post_init__(self) -> None:
        if self.beam is not None:
            _check_range("beam", self.beam, 1, 100)
        _check_range("nbest", self.nbest, 1, 100)
        _check_range("max_words", self.max_words, 1, 1000)
        _check_range("no_repeat_ngram", self.no_repeat_ngram, 0, 1000)
        if self.length_penalty is not None:
            _check_range("length_penalty", self.length_penalty, 0.0, MAX_LENGTH_PENALTY)
        if self.min_confidence is not None and not 0.0 <= self.min_confidence <= 1.0:
            raise OptionError(
                f"min_confidence is {self.min_confidence}, expected a probability from 0 to 1 "
                "(bits are the evidence)"
            )
        for name, words in (("forbid", self.forbid), ("require", self.require)):
            if isinstance(words, str):
                raise OptionError(f"{name} is one string; give a list of words")
            for word in words:
                if len(tokenize(word)) != 1:
                    raise OptionError(f"{name}: {word!r} is not one word of letters and digits")
        if len(self.require) > MAX_REQUIRED:
            raise OptionError(f"require has {len(self.require)} words, at most {MAX_REQUIRED} can")
        searching = (self.beam, self.length_penalty) != (None, None) or self.nbest > 1
        if self.sampling and (searching or self.require):
            raise OptionError(
                "sampling draws one sentence; leave it out, or leave out beam, nbest, "
                "length_penalty and require, which are for a search"
            )
        if self.prefix.strip() and not tokenize(self.prefix):
            raise OptionError(f"prefix: {self.prefix!r} has no word of letters and digits")
        if len(tokenize(self.prefix)) > self.max_words:
            raise OptionError(
                f"prefix has {len(tokenize(self.prefix))} words, max_words is {self.max_words}"
            )

    @property
    def width(self) -> int:
        """The beam for both `beam` and `nbest`."""
        return max(3 if self.beam is None else self.beam, self.nbest)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise OptionError(f"{name} is {value}, expected a number from {least} to {most}")
