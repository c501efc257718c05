"""log P(sentence | image) of given sentences: one for each image, or every one for every image.

Takes ids and image vectors, returns natural log-probabilities; knows no words and no runtime.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats, Ids
from mrnn_edge.decode.hypotheses import SearchSpace, StepFunction
from mrnn_edge.decode.score import check_finite

_ROWS: Final = 512
"""Rows of one call of the step: the log-probabilities, 5 MB at 2,538 words, stay in the cache."""


def sentence_log_probs(
    step: StepFunction,
    images: Floats,
    sentences: Sequence[Sequence[int]],
    space: SearchSpace,
) -> list[NDArray[np.float64]]:
    """Natural log-probability of each word and of the end sign, for sentence n and image row n.

    `images` is float32 [N, M], `sentences` N lists of ids without start and end signs; the n-th
    result is float64 [words + 1]. One call of `step` per position, for all sentences of that
    length. Raises NumericalError for NaN.
    """
    targets, lengths = _targets_of(sentences, space)
    found = np.zeros(targets.shape)
    token = np.full(len(sentences), space.start, np.int64)
    state = np.zeros((len(sentences), space.state), np.float32)
    for position in range(targets.shape[1]):
        # Sentences drop out once their end sign is scored.
        rows = np.flatnonzero(lengths >= position)
        log_probs, state[rows] = step(token[rows], state[rows], images[rows])
        token[rows] = targets[rows, position]
        found[rows, position] = log_probs[np.arange(len(rows)), token[rows]]
    check_finite(found)
    return [found[row, : length + 1] for row, length in enumerate(lengths)]


def cross_log_probs(
    step: StepFunction,
    images: Floats,
    sentences: Sequence[Sequence[int]],
    space: SearchSpace,
    *,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Natural log P(sentence | image), float64 [N, S], for images float32 [N, M].

    The end sign counts. A beginning that several sentences share runs once. `threads` calls of
    `step` run at a time, each of at most 512 rows, so memory holds the result and one number for
    each image and beginning. Raises NumericalError for NaN.
    """
    targets, lengths = _targets_of(sentences, space)
    result = np.zeros((len(sentences), len(images)))
    # Sentence -> its beginning, among those of the same length.
    node = np.zeros(len(sentences), np.intp)
    active = np.arange(len(sentences))
    token = np.full(min(1, len(sentences)), space.start, np.int64)
    state = np.zeros((len(token), space.state), np.float32)
    total = np.zeros((len(token), len(images)))
    with ThreadPoolExecutor(threads) as pool:
        for position in range(targets.shape[1]):
            words = targets[active, position]
            # The continuations, each once: the beginning that it continues, and the word.
            pairs, edge = np.unique(np.stack([node[active], words]), axis=1, return_inverse=True)
            (parent, word), edge = pairs, edge.reshape(-1)  # numpy 2.0.0 gives it two axes
            gained, state = _advance(step, images, token, state, parent, word, pool)
            total = total[parent] + gained
            ended = lengths[active] == position
            result[active[ended]] = total[edge[ended]]
            # The sentences that have not ended make the next row of beginnings.
            active, edge = active[~ended], edge[~ended]
            kept, node[active] = np.unique(edge, return_inverse=True)
            token, state, total = word[kept], state[parent[kept]], total[kept]
    check_finite(result)
    return result.T


def log_mean_exp(log_probs: NDArray[np.float64], weights: Floats) -> NDArray[np.float64]:
    """log of the weighted mean of exp: float64 [K, S], weights float32 [K] -> float64 [S]."""
    weighted = log_probs + np.log(weights.astype(np.float64))[:, None]
    mean: NDArray[np.float64] = np.logaddexp.reduce(weighted, axis=0)
    return mean


def _advance(
    step: StepFunction,
    images: Floats,
    token: Ids,
    state: Floats,
    parent: NDArray[np.intp],
    word: Ids,
    pool: ThreadPoolExecutor,
) -> tuple[Floats, Floats]:
    """log P(word | beginning, image) [E, N] of each continuation, and each beginning's next state.

    `token` [B] and `state` [B, R] are the beginnings; `parent` [E], sorted, and `word` [E] what
    follows them.
    """
    gained = np.empty((len(parent), len(images)), np.float32)
    next_state = np.empty_like(state)
    wide = max(1, min(len(images), _ROWS))
    tall = max(1, _ROWS // wide)

    def run(corner: tuple[int, int]) -> None:
        top, left = corner
        rows = slice(top, min(top + tall, len(token)))
        columns = slice(left, min(left + wide, len(images)))
        count, width = rows.stop - top, columns.stop - left
        log_probs, states = step(
            np.repeat(token[rows], width),
            np.repeat(state[rows], width, axis=0),
            np.tile(images[columns], (count, 1)),
        )
        edges = slice(*np.searchsorted(parent, (top, rows.stop)))
        grid = log_probs.reshape(count, width, -1)
        gained[edges, columns] = grid[parent[edges] - top, :, word[edges]]
        if left == 0:  # every column has the same ones; one of them writes
            next_state[rows] = states[::width]

    corners = [
        (top, left) for top in range(0, len(token), tall) for left in range(0, len(images), wide)
    ]
    list(pool.map(run, corners))
    return gained, next_state


def _targets_of(
    sentences: Sequence[Sequence[int]], space: SearchSpace
) -> tuple[Ids, NDArray[np.int64]]:
    """Target ids int64 [N, longest + 1], padded with the end sign, and lengths int64 [N]."""
    lengths = np.array([len(sentence) for sentence in sentences], np.int64)
    targets = np.full((len(sentences), int(lengths.max(initial=0)) + 1), space.end, np.int64)
    for row, sentence in enumerate(sentences):
        targets[row, : len(sentence)] = sentence
    return targets, lengths
