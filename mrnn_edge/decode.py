"""Sentences out of a step function: beam search over images and beams in one call a step.

Takes a step function and image vectors, gives hypotheses of token ids. numpy only; knows no
words, no pictures and no runtime. Logs are natural here.

The space that is searched: sequences of at most `max_words` allowed tokens, closed by the end sign
unless `max_words` cut them. At each step the best `width` continuations of an image's open
hypotheses are kept; one that takes the end sign is finished and leaves the beam, which narrows by
one. So every image ends with `width` hypotheses (fewer, but one at least, where there are fewer
possible sentences), after `max_words` steps at the latest, and width 1 is greedy decoding.

Where words are required there are as many beams as numbers of them that can have been said, each
`width` wide, so that a sentence with an unlikely word is not crowded out by likelier ones without
it (Post and Vilar 2018, "Fast lexically constrained decoding"). Only the last beam may end.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.constraints import Constraints
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
class Beams:
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

    @classmethod
    def start(cls, count: int, space: SearchSpace) -> "Beams":
        """One row an image, nothing said."""
        return cls(
            owner=np.arange(count),
            tokens=np.zeros((count, 0), np.int64),
            log_probs=np.zeros((count, 0), np.float32),
            total=np.zeros(count),
            state=np.zeros((count, space.state), np.float32),
            states=np.zeros((count, 0, space.state), np.float32),
        )

    def step(self, step: StepFunction, images: Floats, space: SearchSpace) -> tuple[Floats, Floats]:
        """Log-probabilities [rows, V] of the next word and the states [rows, R] after this one.

        Raises NumericalError for NaN and plus infinity.
        """
        said = self.tokens[:, -1] if self.tokens.shape[1] else np.full(len(self.owner), space.start)
        log_probs, state = step(said, self.state, images[self.owner])
        # NaN and plus infinity fail the comparison; minus infinity is a word that cannot come.
        bad = self.owner[~(log_probs < np.inf).all(axis=1)]
        if len(bad):
            raise NumericalError(
                "the step graph gave numbers that are not finite "
                f"for picture {bad.min()} of the batch; check the model with `mrnn-edge verify`"
            )
        return log_probs, state

    def grow(
        self, rows: NDArray[np.intp], tokens: Ids, log_probs: Floats, state: Floats
    ) -> "Beams":
        """Each row of `rows` with its token after it, out of what `step` gave for all rows."""
        gained = log_probs[rows, tokens]
        return Beams(
            owner=self.owner[rows],
            tokens=np.column_stack([self.tokens[rows], tokens]),
            log_probs=np.column_stack([self.log_probs[rows], gained]),
            total=self.total[rows] + gained,
            state=state[rows],
            states=np.concatenate([self.states[rows], self.state[rows, None]], axis=1),
        )

    def select(self, keep: NDArray[np.bool_]) -> "Beams":
        """The rows where `keep` is true."""
        return Beams(
            owner=self.owner[keep],
            tokens=self.tokens[keep],
            log_probs=self.log_probs[keep],
            total=self.total[keep],
            state=self.state[keep],
            states=self.states[keep],
        )

    def hypothesis(self, row: int, *, ended: bool) -> Hypothesis:
        """A row as a finished sentence; with `ended` its last token is the end sign."""
        tokens = self.tokens[row].tolist()
        return Hypothesis(
            tokens=tuple(tokens[:-1] if ended else tokens),
            log_probs=tuple(self.log_probs[row].tolist()),
            ended=ended,
            states=self.states[row].copy(),  # a view would keep all beams alive
        )


def begin(step: StepFunction, images: Floats, space: SearchSpace, prefix: tuple[int, ...]) -> Beams:
    """One row an image, the prefix said and scored."""
    beams = Beams.start(len(images), space)
    for token in prefix:
        if len(images):
            log_probs, state = beams.step(step, images, space)
            rows = np.arange(len(images))
            beams = beams.grow(rows, np.full(len(rows), token), log_probs, state)
    return beams


def beam_search(
    step: StepFunction,
    images: Floats,
    space: SearchSpace,
    *,
    width: int,
    max_words: int,
    length_penalty: float = 0.0,
    constraints: Constraints | None = None,
) -> list[list[Hypothesis]]:
    """For each image vector of [N, M] its hypotheses, best first by `Hypothesis.score`.

    Ties go to the hypothesis that stood higher a step before, then to the lower id. An image whose
    required words found no place has none. Raises NumericalError if the step function returns NaN
    or plus infinity, or no word a chance at all.
    """
    constraints = constraints or Constraints()
    finished: list[list[Hypothesis]] = [[] for _ in images]
    beams = begin(step, images, space, constraints.prefix)
    for _ in range(max_words - len(constraints.prefix)):
        if not len(beams.owner):
            break
        log_probs, state = beams.step(step, images, space)
        beams = _advance(beams, log_probs, state, finished, space, width, constraints)
    met = constraints.meets(beams.tokens).all(axis=1)
    for row in np.flatnonzero(met).tolist():
        finished[beams.owner[row]].append(beams.hypothesis(row, ended=False))
    for image, group in enumerate(finished):
        if not group and not constraints.required:
            raise NumericalError(
                f"the step graph gave no word a chance for picture {image} of the batch; "
                "check the model with `mrnn-edge verify`"
            )
    return [
        sorted(group, key=lambda hypothesis: -hypothesis.score(length_penalty))[:width]
        for group in finished
    ]


def _advance(
    beams: Beams,
    log_probs: Floats,
    state: Floats,
    finished: list[list[Hypothesis]],
    space: SearchSpace,
    width: int,
    constraints: Constraints,
) -> Beams:
    """Keep each image's best continuations; move those that ended to `finished`."""
    scores = log_probs.copy()
    scores[:, space.banned] = -np.inf
    constraints.rule_out(scores, beams.tokens)
    met = constraints.meets(beams.tokens)
    scores[~met.all(axis=1), space.end] = -np.inf
    # A required word that was not said yet leads into the next beam: it competes there.
    rows, which = np.nonzero(~met)
    tokens = np.array(constraints.required, np.int64)[which]
    possible = np.isfinite(scores[rows, tokens])
    rows, tokens = rows[possible], tokens[possible]
    scores[rows, tokens] = -np.inf
    said = met.sum(axis=1)
    others, words = _best_in_rows(scores, width)
    parents = np.concatenate([others, rows])
    tokens = np.concatenate([words, tokens])
    said = np.concatenate([said[others], said[rows] + 1])
    totals = beams.total[parents] + log_probs[parents, tokens]
    owner = beams.owner[parents]
    # By image and beam, best first; ties by the parent's place, then by the lower id.
    order = np.lexsort((tokens, parents, -totals, said, owner))
    parents, tokens, said, owner = parents[order], tokens[order], said[order], owner[order]
    room = width - np.array([len(group) for group in finished], np.int64)
    last = said == len(constraints.required)
    limit = np.where(last, room[owner], np.where(room[owner] > 0, width, 0))
    keep = _rank_in_group(owner * (len(constraints.required) + 1) + said) < limit
    grown = beams.grow(parents[keep], tokens[keep], log_probs, state)
    ended = grown.tokens[:, -1] == space.end
    for row in np.flatnonzero(ended).tolist():
        finished[grown.owner[row]].append(grown.hypothesis(row, ended=True))
    return grown.select(~ended)


def _best_in_rows(scores: Floats, count: int) -> tuple[NDArray[np.intp], Ids]:
    """Rows and columns of the `count` largest finite values of each row of [N, V].

    Ties within a row go to the lower column. `scores` is used up. A pass over all rows a value: for
    the few that a beam needs several times faster than a partition of each row. (Beams of 3, 20,
    50, 100 took 2.1, 10.6, 34 and 92 ms of CPU a picture so, and 2.7, 13.3, 31 and 64 before.)
    """
    rows = np.arange(len(scores))
    found: list[tuple[NDArray[np.intp], Ids]] = []
    for _ in range(min(count, scores.shape[1])):
        columns = scores.argmax(axis=1)
        finite = np.isfinite(scores[rows, columns])
        found.append((rows[finite], columns[finite]))
        scores[rows, columns] = -np.inf
    return (
        np.concatenate([each[0] for each in found]),
        np.concatenate([each[1] for each in found]),
    )


def _rank_in_group(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """The place of each item in its run of equal numbers, from 0."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    lengths = np.diff(starts, append=len(groups))
    return np.arange(len(groups)) - np.repeat(starts, lengths)


def largest(values: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """Indices of the `count` largest finite values, largest first, ties by the lower index."""
    count = min(count, len(values))
    if count < 1:
        return np.zeros(0, np.intp)
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    candidates = np.flatnonzero((values >= threshold) & np.isfinite(values))
    order = np.argsort(-values[candidates], kind="stable")
    return candidates[order][:count]
