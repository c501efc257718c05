"""log P(sentence | image) of decoded sentences, whose states the decoder kept.

Takes hypotheses and an image vector, returns natural log-probabilities; knows no words and no
runtime. cross.py scores given sentences.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats
from mrnn_edge.decode.hypotheses import Hypothesis, SearchSpace, StepFunction
from mrnn_edge.errors import NumericalError

BITS_PER_NAT: Final = 1.0 / math.log(2.0)


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
