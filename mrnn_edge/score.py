"""log P(sentence | image) of given sentences, by running the step function over their words.

Takes ids and image vectors, gives log-probabilities; knows no words and no runtime.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.decode import Floats, SearchSpace, StepFunction

BITS_PER_NAT: Final = 1.0 / math.log(2.0)


def sentence_log_probs(
    step: StepFunction,
    images: Floats,
    sentences: Sequence[Sequence[int]],
    space: SearchSpace,
) -> list[NDArray[np.float64]]:
    """Natural log-probability of each word and of the end sign, for sentence n and image row n.

    `images` is [N, M], `sentences` N lists of ids without start and end sign; the n-th result has
    one number more than its sentence has words. One call of `step` a position, for all sentences
    that reach so far.
    """
    lengths = np.array([len(sentence) for sentence in sentences], np.int64)
    targets = np.full((len(sentences), int(lengths.max(initial=0)) + 1), space.end, np.int64)
    for row, sentence in enumerate(sentences):
        targets[row, : len(sentence)] = sentence
    found = np.zeros(targets.shape)
    token = np.full(len(sentences), space.start, np.int64)
    state = np.zeros((len(sentences), space.state), np.float32)
    for position in range(targets.shape[1]):
        # Sentences drop out once their end sign is scored.
        rows = np.flatnonzero(lengths >= position)
        log_probs, state[rows] = step(token[rows], state[rows], images[rows])
        token[rows] = targets[rows, position]
        found[rows, position] = log_probs[np.arange(len(rows)), token[rows]]
    return [found[row, : length + 1] for row, length in enumerate(lengths)]
