"""Image vectors ranked by how likely they make a sentence: exactly, or from a short list.

log P(sentence | v) is smooth in the image vector v, so around a point c it is nearly linear:
log P(v) = log P(c) + q·(v - c), q the sum over the words of d log P(word) / dv at c. One matrix
product with q ranks any number of vectors; the best of them are then ranked exactly.

Takes functions, ids and vectors, returns rows and natural log-probabilities. numpy only; knows no
words, no files and no runtime.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats, Ids, largest
from mrnn_edge.decode.cross import cross_log_probs
from mrnn_edge.decode.hypotheses import SearchSpace, StepFunction

EXACT_UP_TO: Final = 1000
"""Most images ranked without a short list, five times its length."""
SHORT_LIST: Final = 200
"""Rows that are ranked exactly, at least. They held 0.997 of the exact ten best of 8,091 pictures
(200 dev sentences); 100 rows 0.989, 500 rows all of them (benchmarks/search.py)."""
ROWS_A_HIT: Final = 20
"""The same share for searches of more than ten."""
POOL: Final = 4096
"""Rows that the second query vector ranks. With an earlier model the 1,000 best of 8,091 pictures
by the first one held all of the ten best."""
NEAR: Final = 30
"""Rows whose mean says where the best images are; 100 and 300 did as well, with that model."""
SHARE: Final = 0.25
"""How far from the mean towards them the second slope is taken. With an earlier model 200 rows held
0.986 of the ten best by the slope at the mean (0), 0.994 at 0.25, 0.982 at 0.5, 0.527 at 1."""


class GradientFunction(Protocol):
    """The slope of one step's log-probability in the image vector, and the next state."""

    def __call__(
        self, token: Ids, state: Floats, image: Floats, target: Ids
    ) -> tuple[Floats, Floats]:
        """int64 [B], [B, R], [B, M], int64 [B] -> d log P(target) / dv [B, M], state [B, R]."""


def query_vector(
    gradient: GradientFunction, image: Floats, sentence: Sequence[int], space: SearchSpace
) -> Floats:
    """q float32 [M], the gradient of log P(sentence | v) at an image vector float32 [M]."""
    query = np.zeros_like(image)
    state = np.zeros((1, space.state), np.float32)
    token = space.start
    for target in [*sentence, space.end]:
        slope, state = gradient(np.array([token]), state, image[None], np.array([target]))
        query += slope[0]
        token = target
    return query


def short_list(
    gradient: GradientFunction,
    vectors: Floats,
    mean: Floats,
    sentence: Sequence[int],
    space: SearchSpace,
    *,
    count: int,
) -> NDArray[np.intp]:
    """The `count` rows of float32 [N, M] likely to hold the best, intp [count], ascending.

    The first query vector is the slope at `mean`, float32 [M]. The second, for the POOL best rows
    by the first, is the slope part of the way towards the best of them.
    """
    first = vectors @ query_vector(gradient, mean, sentence, space)
    pool = largest(first, max(POOL, count))
    near = mean + np.float32(SHARE) * (vectors[pool[:NEAR]].mean(axis=0) - mean)
    second = vectors[pool] @ query_vector(gradient, near, sentence, space)
    return np.sort(pool[largest(second, count)])


def best_rows(
    step: StepFunction,
    gradient: GradientFunction | None,
    vectors: Floats,
    mean: Floats,
    sentence: Sequence[int],
    space: SearchSpace,
    *,
    k: int,
    threads: int = 1,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Rows of float32 [N, M], intp, and their log P(sentence | v), float64; best first.

    Ties go to the lower row. All rows without a gradient or if they are few; else those of a short
    list longer than `k`.
    """
    count = max(SHORT_LIST, ROWS_A_HIT * k)
    if gradient is None or len(vectors) <= EXACT_UP_TO or len(vectors) <= count:
        rows, chosen = np.arange(len(vectors)), vectors
    else:
        rows = short_list(gradient, vectors, mean, sentence, space, count=count)
        chosen = vectors[rows]
    found = cross_log_probs(step, chosen, [sentence], space, threads=threads)[:, 0]
    order = np.argsort(-found, kind="stable")
    return rows[order], found[order]
