"""The prefix, required and forbidden words of a sentence, as masks over the next word.

Takes ids of open hypotheses; knows no words. Nothing is renormalised for excluded words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.decode.hypotheses import SearchSpace


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """Requirements for a sentence, as ids. By default there are none."""

    prefix: tuple[int, ...] = ()
    """The first words, exempt from the other rules."""
    forbidden: tuple[int, ...] = ()
    """Words that do not come after the prefix."""
    required: tuple[int, ...] = ()
    """Words that must come, in the prefix or after it, in any order; each listed once."""
    no_repeat_ngram: int = 0
    """Length of word sequences that may not repeat in a sentence; with it, no word stands on both
    sides of "and", and a content word comes once. 0: none of these rules."""

    def rule_out(
        self,
        scores: NDArray[np.floating],
        sentences: Sequence[tuple[int, ...]],
        space: SearchSpace,
    ) -> None:
        """Set words that may not follow each sentence to -inf, in float [rows, V]."""
        for token in (*space.banned, *self.forbidden):
            scores[:, token] = -np.inf
        if self.no_repeat_ngram:
            for row, sentence in enumerate(sentences):
                scores[row, self._repeating(sentence, space)] = -np.inf

    def lacking(self, sentence: tuple[int, ...]) -> tuple[int, ...]:
        """The required words that a sentence lacks."""
        return tuple(word for word in self.required if word not in sentence)

    def _repeating(self, sentence: tuple[int, ...], space: SearchSpace) -> list[int]:
        """The words that would repeat what the sentence has."""
        size = self.no_repeat_ngram
        tail = sentence[len(sentence) - size + 1 :]
        found = [
            sentence[at + size - 1]
            for at in range(len(sentence) - size + 1)
            if sentence[at : at + size - 1] == tail
        ]
        if sentence[-1:] == (space.conjunction,):
            found += sentence[-2:-1]
        return found + [word for word in sentence if word in space.content]
