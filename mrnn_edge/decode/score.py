"""log P(sentence | image), by running the step function over the words.

Takes ids and image vectors, returns natural log-probabilities; knows no words and no runtime. Two
cases here: sentence n for image n (`sentence_log_probs`), and decoded sentences, whose states the
decoder kept (`path_log_probs`). cross.py scores every sentence for every image.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats, Ids
from mrnn_edge.decode.hypotheses import Hypothesis, SearchSpace, StepFunction
from mrnn_edge.errors import NumericalError

BITS_PER_NAT: Final = 1.0 / math.log(2.0)


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
    targets, lengths = targets_of(sentences, space)
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


def path_log_probs(
    step: StepFunction, image: Floats, paths: Sequence[Hypothesis], space: SearchSpace
) -> list[NDArray[np.float64]]:
    """Natural log-probabilities of decoded sentences for another image vector, word by word.

    `image` is float32 [M]; each result is float64 [words], with the end sign if it ended. The
    recurrence does not see the image, so the decoder's states are reused and all positions of all
    sentences are one call of `step`. Raises NumericalError for NaN.
    """
    fed: list[int] = []
    targets: list[int] = []
    ends = [0]
    for path in paths:
        count = len(path.log_probs)
        fed += [space.start, *path.tokens][:count]
        targets += [*path.tokens, space.end][:count]
        ends.append(len(fed))
    if not fed:
        return [np.zeros(0) for _ in paths]
    state = np.concatenate([path.states for path in paths])
    log_probs, _ = step(np.array(fed, np.int64), state, image[None].repeat(len(fed), axis=0))
    # For a dozen numbers this is faster than numpy's indexing.
    found = np.array([log_probs.item(row, token) for row, token in enumerate(targets)])
    check_finite(found)
    return [found[first:end] for first, end in pairwise(ends)]


def check_finite(log_probs: NDArray[np.float64]) -> None:
    """Raise NumericalError for NaN or plus infinity in float64 [...]; minus infinity may be."""
    if not (log_probs < np.inf).all():
        raise NumericalError("the step graph gave numbers that are not finite; verify the model")


def targets_of(
    sentences: Sequence[Sequence[int]], space: SearchSpace
) -> tuple[Ids, NDArray[np.int64]]:
    """Target ids int64 [N, longest + 1], padded with the end sign, and lengths int64 [N]."""
    lengths = np.array([len(sentence) for sentence in sentences], np.int64)
    targets = np.full((len(sentences), int(lengths.max(initial=0)) + 1), space.end, np.int64)
    for row, sentence in enumerate(sentences):
        targets[row, : len(sentence)] = sentence
    return targets, lengths
