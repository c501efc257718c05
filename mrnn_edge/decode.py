"""Sentences out of a step function: beam search over images and beams in one call a step.

Takes a step function and image vectors, gives hypotheses of token ids. numpy only; knows no
words, no pictures and no runtime. Logs are natural here.

The space that is searched: sequences of at most `max_words` allowed tokens, closed by the end sign
unless `max_words` cut them. At each step the best `width` continuations of an image's open
hypotheses are kept; one that takes the end sign is finished and leaves the beam, which narrows by
one. So every image ends with `width` hypotheses (fewer, but one at least, where there are fewer
possible sentences), after `max_words` steps at the latest, and width 1 is greedy decoding.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.errors import NumericalError

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


class StepFunction(Protocol):
    """One time frame for a batch of hypotheses."""

    def __call__(self, token: Ids, state: Floats, image: Floats) -> tuple[Floats, Floats]:
        """int64 [B], float32 [B, R], float32 [B, M] -> log-probabilities [B, V], state [B, R]."""
        ...


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What the decoder needs to know of a vocabulary and a network."""

    start: int
    end: int
    banned: tuple[int, ...]
    """Ids never generated (start, unknown). Nothing is renormalised for them."""
    state: int
    """R, the length of the recurrent state; the first one is zeros."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A sentence as ids, without start and end sign."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]
    """Natural log-probability of each token, and of the end sign where there is one."""
    ended: bool
    """False where the word limit cut the sentence."""
    states: Floats = field(compare=False, repr=False)
    """[len(log_probs), R], the states that were fed with each word, the first one's zeros."""

    @property
    def log_prob(self) -> float:
        """Natural log-probability of the whole sentence, the end sign included if it ended."""
        return sum(self.log_probs)

    def score(self, length_penalty: float) -> float:
        """What hypotheses are ranked by: log_prob / (words + 1) ** length_penalty."""
        score: float = self.log_prob / (len(self.tokens) + 1) ** length_penalty
        return score


@dataclass
class _Beams:
    """The open hypotheses of all images, row by row; an image's rows stand together, best first."""

    owner: NDArray[np.intp]
    """Row -> image."""
    tokens: Ids
    """[rows, words so far]"""
    log_probs: Floats
    """[rows, words so far]"""
    total: NDArray[np.float64]
    """[rows], the sums of log_probs."""
    state: Floats
    """[rows, R]"""
    states: Floats
    """[rows, words so far, R], those before it."""


def beam_search(
    step: StepFunction,
    images: Floats,
    space: SearchSpace,
    *,
    width: int,
    max_words: int,
    length_penalty: float = 0.0,
) -> list[list[Hypothesis]]:
    """For each image vector of [N, M] its hypotheses, best first by `Hypothesis.score`.

    Ties go to the hypothesis that stood higher a step before, then to the lower id. Raises
    NumericalError if the step function returns NaN or plus infinity, or no word a chance at all.
    """
    count = len(images)
    finished: list[list[Hypothesis]] = [[] for _ in range(count)]
    beams = _Beams(
        owner=np.arange(count),
        tokens=np.zeros((count, 0), np.int64),
        log_probs=np.zeros((count, 0), np.float32),
        total=np.zeros(count),
        state=np.zeros((count, space.state), np.float32),
        states=np.zeros((count, 0, space.state), np.float32),
    )
    last = np.full(count, space.start, np.int64)
    for _ in range(max_words):
        if not len(beams.owner):
            break
        log_probs, state = step(last, beams.state, images[beams.owner])
        _check(log_probs, beams.owner)
        beams = _advance(beams, log_probs, state, finished, space, width)
        last = beams.tokens[:, -1]
    for row, image in enumerate(beams.owner):
        finished[image].append(_hypothesis(beams, row, ended=False))
    for image, group in enumerate(finished):
        if not group:
            raise NumericalError(
                f"the step graph gave no word a chance for picture {image} of the batch"
            )
    return [
        sorted(group, key=lambda hypothesis: -hypothesis.score(length_penalty))
        for group in finished
    ]


def _advance(
    beams: _Beams,
    log_probs: Floats,
    state: Floats,
    finished: list[list[Hypothesis]],
    space: SearchSpace,
    width: int,
) -> _Beams:
    """Keep each image's best continuations; move those that ended to `finished`."""
    totals = beams.total[:, None] + log_probs
    totals[:, space.banned] = -np.inf
    parents, tokens = [], []
    bounds = np.flatnonzero(np.diff(beams.owner, prepend=-1, append=-1))
    for first, after in pairwise(bounds):
        room = width - len(finished[beams.owner[first]])
        flat = totals[first:after].reshape(-1)
        for choice in _largest(flat, room):
            parent, token = divmod(int(choice), totals.shape[1])
            parents.append(first + parent)
            tokens.append(token)
    rows = np.array(parents, np.intp)
    chosen = np.array(tokens, np.int64)
    grown = _Beams(
        owner=beams.owner[rows],
        tokens=np.column_stack([beams.tokens[rows], chosen]),
        log_probs=np.column_stack([beams.log_probs[rows], log_probs[rows, chosen]]),
        total=totals[rows, chosen],
        state=state[rows],
        states=np.concatenate([beams.states[rows], beams.state[rows, None]], axis=1),
    )
    ended = chosen == space.end
    for row in np.flatnonzero(ended):
        finished[grown.owner[row]].append(_hypothesis(grown, row, ended=True))
    return _select(grown, ~ended)


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Indices of the `count` largest finite values, largest first, ties by the lower index."""
    count = min(count, len(values))
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    candidates = np.flatnonzero((values >= threshold) & np.isfinite(values))
    order = np.argsort(-values[candidates], kind="stable")
    return candidates[order][:count]


def _select(beams: _Beams, keep: NDArray[np.bool_]) -> _Beams:
    return _Beams(
        owner=beams.owner[keep],
        tokens=beams.tokens[keep],
        log_probs=beams.log_probs[keep],
        total=beams.total[keep],
        state=beams.state[keep],
        states=beams.states[keep],
    )


def _hypothesis(beams: _Beams, row: int | np.intp, *, ended: bool) -> Hypothesis:
    tokens = beams.tokens[row].tolist()
    return Hypothesis(
        tokens=tuple(tokens[:-1] if ended else tokens),
        log_probs=tuple(beams.log_probs[row].tolist()),
        ended=ended,
        states=beams.states[row],
    )


def _check(log_probs: Floats, owner: NDArray[np.intp]) -> None:
    # NaN and plus infinity fail the comparison; minus infinity is a word that cannot come.
    bad = owner[~(log_probs < np.inf).all(axis=1)]
    if len(bad):
        raise NumericalError(
            f"the step graph gave numbers that are not finite for picture {bad.min()} of the batch"
        )
