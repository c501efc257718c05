"""Sentences sampled word by word with exact probabilities, from a seed.

Takes a step function and image vectors, returns a hypothesis for each. A picture's samples depend
on the seed alone, so its sentence is the same in every batch. numpy only; logs are natural here.
"""

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats, largest
from mrnn_edge.decode.constraints import Constraints
from mrnn_edge.decode.hypotheses import Hypothesis, Next, SearchSpace, StepFunction, start_beams
from mrnn_edge.errors import NumericalError
from mrnn_edge.options import Sampling


def sample(
    step: StepFunction,
    images: Floats,
    space: SearchSpace,
    *,
    max_words: int,
    sampling: Sampling,
    constraints: Constraints,
) -> list[Hypothesis]:
    """A sampled sentence for each image vector of float32 [N, M].

    Its log_probs are the model's own, at temperature 1 and without cuts. Raises NumericalError if
    the step function returns NaN or plus infinity, or no word has a chance.
    """
    draws = [np.random.default_rng(sampling.seed) for _ in images]
    found: dict[int, Hypothesis] = {}
    beams = start_beams(step, images, space, constraints.prefix)
    for _ in range(max_words - len(constraints.prefix)):
        if not beams.owner:
            break
        log_probs = beams.step()
        chances = log_probs.astype(np.float64)
        constraints.rule_out(chances, beams.words, space)
        going = []
        for row, image in enumerate(beams.owner):
            token = _draw(chances[row], sampling, draws[image].random(), image)
            chosen = Next(row, token, float(log_probs[row, token]))
            if token == space.end:
                found[image] = beams.hypothesis(beams.end(chosen))
            else:
                going.append(chosen)
        beams.extend(going)
    for row, image in enumerate(beams.owner):
        found[image] = beams.hypothesis(beams.close(row))
    return [found[image] for image in range(len(images))]


def _draw(log_probs: NDArray[np.float64], sampling: Sampling, draw: float, image: int) -> int:
    """The word at quantile `draw`, 0..1, of float64 [V] after temperature and cuts."""
    kept = np.flatnonzero(log_probs > -np.inf)
    if not len(kept):
        raise NumericalError(
            f"no word that is allowed has a chance for picture {image} of the batch"
        )
    if sampling.top_k is not None:
        kept = kept[np.sort(largest(log_probs[kept], sampling.top_k))]
    scaled = log_probs[kept] / sampling.temperature
    chances = np.exp(scaled - scaled.max())
    if sampling.top_p is not None:
        order = np.argsort(-chances, kind="stable")
        mass = np.cumsum(chances[order])
        # The fewest likeliest words that hold the share, including the one that reaches it.
        count = int(np.searchsorted(mass, sampling.top_p * mass[-1], side="left")) + 1
        inside = np.sort(order[:count])
        kept, chances = kept[inside], chances[inside]
    mass = np.cumsum(chances)
    return int(kept[min(np.searchsorted(mass, draw * mass[-1], side="right"), len(kept) - 1)])
