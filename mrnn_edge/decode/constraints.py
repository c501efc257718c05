"""What a sentence must begin with, must hold and must not hold, as masks over the next word.

Takes ids of open hypotheses, gives what may follow; knows no words and no probabilities of its own.
Nothing is renormalised for what is ruled out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """Wishes for a sentence, as ids. The default wishes nothing."""

    prefix: tuple[int, ...] = ()
    """The first words, whatever they are."""
    forbidden: tuple[int, ...] = ()
    """Words that do not come after the prefix."""
    required: tuple[int, ...] = ()
    """Words that must come, in the prefix or after it, in any order. Each once here."""
    no_repeat_ngram: int = 0
    """Words in a row that may stand only once in a sentence; 0: no limit."""

    def rule_out(self, scores: NDArray[np.floating], sentences: Sequence[tuple[int, ...]]) -> None:
        """Set to minus infinity, in [rows, V], the words that may not follow each sentence."""
        for token in self.forbidden:
            scores[:, token] = -np.inf
        if self.no_repeat_ngram:
            for row, sentence in enumerate(sentences):
                scores[row, self._repeating(sentence)] = -np.inf

    def lacking(self, sentence: tuple[int, ...]) -> tuple[int, ...]:
        """The required words that do not stand in a sentence."""
        return tuple(word for word in self.required if word not in sentence)

    def _repeating(self, sentence: tuple[int, ...]) -> list[int]:
        """The words that would say an n-gram of the sentence again."""
        size = self.no_repeat_ngram
        tail = sentence[len(sentence) - size + 1 :]
        return [
            sentence[at + size - 1]
            for at in range(len(sentence) - size + 1)
            if sentence[at : at + size - 1] == tail
        ]
