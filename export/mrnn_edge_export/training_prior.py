"""The prior of a model: mean and groups of the image vectors of its training pictures.

Takes the open encoder and the pictures, gives their mean image vector and the centres of groups of
them (mrnn_edge/bundle/prior.py says what for). Knows no sentence.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from scipy.cluster.vq import kmeans2

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.engine.graphs import OpenEncoder
from mrnn_edge.errors import InputError
from mrnn_edge.image.read import read_pixels
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train.data.common import complain_of_unreadable, spare

GROUPS: Final = 100
"""Groups, given ten times as many pictures (docs/probabilities.md)."""
_SEED: Final = 0
_ROUNDS: Final = 50
_CHUNK: Final = 32


def training_prior(
    encoder: OpenEncoder,
    pictures: Sequence[Path],
    spec: ImageSpec,
    *,
    track: Track = untracked,
) -> tuple[PriorVectors, tuple[str, ...]]:
    """Mean vector [M] of all pictures, and their groups [K, M] by k-means from a fixed start.

    Unreadable pictures are left out, as in training, and their names are returned too. Raises
    DatasetError if they are more than one in a hundred.
    """
    vectors = []
    failures: dict[str, InputError] = {}
    starts = range(0, len(pictures), _CHUNK)
    for start in track(starts, "prior", len(starts)):
        pixels = []
        for path in pictures[start : start + _CHUNK]:
            try:
                pixels.append(read_pixels(path, spec))
            except InputError as error:
                failures[path.name] = error
        if pixels:
            vectors.append(encoder(np.stack(pixels)))
    allowed = spare(len(pictures))
    complain_of_unreadable(list(failures.values()), len(pictures), allowed=allowed)
    return prior_of(np.concatenate(vectors)), tuple(failures)


def prior_of(rows: Floats) -> PriorVectors:
    """Mean and groups of image vectors float32 [N, M]."""
    centres, weights = group(rows, max(1, min(GROUPS, len(rows) // 10)))
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return PriorVectors(mean=mean, centres=centres, weights=weights)


def group(rows: Floats, wanted: int) -> tuple[Floats, Floats]:
    """Centres [K, M] of K <= `wanted` groups of rows [N, M], and their shares [K]; float32."""
    # k-means++ samples by distance, which fails if all remaining rows are equal.
    count = min(wanted, len(np.unique(rows, axis=0)))
    with warnings.catch_warnings(action="ignore"):
        _, member = kmeans2(
            rows.astype(np.float64),
            count,
            iter=_ROUNDS,
            minit="++",
            rng=np.random.default_rng(_SEED),
        )
    # k-means may empty a group, with a warning; leave it out.
    groups = [rows[member == each] for each in range(count) if (member == each).any()]
    centres = np.stack([each.mean(axis=0, dtype=np.float64) for each in groups])
    weights = np.array([len(each) / len(rows) for each in groups])
    return centres.astype(np.float32), weights.astype(np.float32)
