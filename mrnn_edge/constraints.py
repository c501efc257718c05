"""What a sentence must begin with, must hold and must not hold, as masks over the next word.

Takes ids of open hypotheses, gives what may follow; knows no words and no probabilities of its own.
Nothing is renormalised for what is ruled out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


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

    def rule_out(self, scores: NDArray[np.floating], tokens: Ids) -> None:
        """Set to minus infinity, in [rows, V], the words that may not follow `tokens` [rows, n]."""
        scores[:, self.forbidden] = -np.inf
        if self.no_repeat_ngram:
            for row, repeated in enumerate(self._repeating(tokens)):
                scores[row, repeated] = -np.inf

    def meets(self, tokens: Ids) -> NDArray[np.bool_]:
        """Which of the required words stand in `tokens` [rows, words]: [rows, required]."""
        found: NDArray[np.bool_] = (tokens[:, :, None] == self.required).any(axis=1)
        return found

    def _repeating(self, tokens: Ids) -> list[list[int]]:
        """For each row the words that would say an n-gram of it again."""
        size = self.no_repeat_ngram
        rows = []
        for row in tokens.tolist():
            tail = row[len(row) - size + 1 :]
            rows.append(
                [
                    row[at + size - 1]
                    for at in range(len(row) - size + 1)
                    if row[at : at + size - 1] == tail
                ]
            )
        return rows
