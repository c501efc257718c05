"""The open hypotheses of all images, row by row, and their states.

Takes a step function, image vectors and the choice after each step; returns log-probabilities and
finished hypotheses. numpy only; knows no search. Logs are natural here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from mrnn_edge.arrays import Floats, Ids
from mrnn_edge.errors import NumericalError


class StepFunction(Protocol):
    """One time frame for a batch of hypotheses."""

    def __call__(self, token: Ids, state: Floats, image: Floats) -> tuple[Floats, Floats]:
        """int64 [B], float32 [B, R], float32 [B, M] -> log-probabilities [B, V], state [B, R].

        The arrays that come back are the caller's to keep.
        """


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What the decoder knows of a vocabulary and a network."""

    start: int
    end: int
    banned: tuple[int, ...]
    """Ids never generated (start, unknown). Nothing is renormalised for them."""
    state: int
    """R, the length of the recurrent state; the first one is zeros."""
    conjunction: int | None = None
    """The id of "and", if the vocabulary has it."""
    content: frozenset[int] = frozenset()
    """Words that name or describe something, where it is known."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A sentence as ids, without start and end signs."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]
    """Natural log-probability of each token, and of the end sign if it ended."""
    ended: bool
    """False where the word limit cut the sentence."""
    states: Floats = field(compare=False, repr=False)
    """float32 [len(log_probs), R], the input states of the steps; the first is zeros."""

    @property
    def log_prob(self) -> float:
        """Natural log-probability of the whole sentence, the end sign included if it ended."""
        return sum(self.log_probs)


class Next(NamedTuple):
    """A row and the token that comes after it."""

    row: int
    token: int
    log_prob: float
    """Of the token."""


class Beams:
    """The open hypotheses of all images, row by row; an image's rows stand together.

    Words are kept in Python tuples: adding a number to a few rows costs less than a call of numpy.
    """

    def __init__(self, step: StepFunction, images: Floats, space: SearchSpace) -> None:
        """One row per image vector of float32 [N, M], without words."""
        count = len(images)
        self.owner = list(range(count))
        """Row -> image."""
        self.words: list[tuple[int, ...]] = [()] * count
        self.log_probs: list[tuple[float, ...]] = [()] * count
        self.total = [0.0] * count
        """The sums of log_probs."""
        self._places: list[tuple[int, ...]] = [()] * count
        """The row of the hypothesis in each step."""
        self._fed: list[Floats] = []
        """The states of each step, [rows of that step, R]."""
        self._space = space
        self._step = step
        self._images = images
        self._vectors = images
        """The image vector of each row, [rows, M]."""
        self._state = np.zeros((count, space.state), np.float32)
        """The states that the next step is fed, [rows, R]."""

    def step(self) -> Floats:
        """Log-probabilities float32 [rows, V] of the next word.

        Raises NumericalError for NaN and plus infinity.
        """
        said = [words[-1] if words else self._space.start for words in self.words]
        self._fed.append(self._state)
        log_probs, self._state = self._step(np.array(said, np.int64), self._state, self._vectors)
        # numpy sorts NaN as the largest, and it fails the comparison like plus infinity. Minus
        # infinity is an impossible word.
        if not log_probs.item(log_probs.argmax()) < np.inf:
            bad = np.flatnonzero(~(log_probs < np.inf).all(axis=1)).tolist()
            raise NumericalError(
                "the step graph gave numbers that are not finite for picture "
                f"{min(self.owner[row] for row in bad)} of the batch; check the model with "
                "`mrnn-edge verify`"
            )
        return log_probs

    def extend(self, chosen: Sequence[Next]) -> None:
        """After `step`: keep these rows, in this order, extended by these tokens."""
        rows = [each.row for each in chosen]
        owner = [self.owner[row] for row in rows]
        if rows:
            self._state = self._state.take(rows, axis=0)
            if owner != self.owner:
                self._vectors = self._images.take(owner, axis=0)
        self.owner = owner
        self.words = [(*self.words[row], token) for row, token, _ in chosen]
        self.log_probs = [(*self.log_probs[row], gained) for row, _, gained in chosen]
        self.total = [self.total[row] + gained for row, _, gained in chosen]
        self._places = [(*self._places[row], row) for row in rows]

    def images(self) -> Iterator[tuple[int, range]]:
        """Each image that has rows, and its rows."""
        first, owner = 0, self.owner
        for row in range(1, len(owner) + 1):
            if row == len(owner) or owner[row] != owner[first]:
                yield owner[first], range(first, row)
                first = row

    def close(self, row: int) -> "Closed":
        """A row without an end sign."""
        return Closed(self.words[row], self.log_probs[row], self._places[row], False)

    def end(self, last: Next) -> "Closed":
        """A row and the end sign; call it after `step`, before `extend`."""
        return Closed(
            self.words[last.row],
            (*self.log_probs[last.row], last.log_prob),
            (*self._places[last.row], last.row),
            True,
        )

    def hypothesis(self, closed: "Closed") -> Hypothesis:
        """A finished sentence with its states."""
        states = np.empty((len(closed.places), self._space.state), np.float32)
        for position, place in enumerate(closed.places):
            states[position] = self._fed[position][place]
        return Hypothesis(
            tokens=closed.tokens, log_probs=closed.log_probs, ended=closed.ended, states=states
        )


class Closed(NamedTuple):
    """A sentence that left the beam."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]
    places: tuple[int, ...]
    """Its row in each step."""
    ended: bool

    def score(self, length_penalty: float) -> float:
        """The rank: log_prob / (words + 1) ** length_penalty."""
        score: float = sum(self.log_probs) / (len(self.tokens) + 1) ** length_penalty
        return score


def start_beams(
    step: StepFunction, images: Floats, space: SearchSpace, prefix: tuple[int, ...]
) -> Beams:
    """One row per image vector of float32 [N, M], with the prefix already scored."""
    beams = Beams(step, images, space)
    for token in prefix:
        if len(images):
            gained = beams.step()[:, token].tolist()
            beams.extend([Next(row, token, each) for row, each in enumerate(gained)])
    return beams
