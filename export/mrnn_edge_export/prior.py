"""The prior of a model: what its encoder makes of the training pictures.

Takes the open encoder and the pictures, gives their mean image vector and those of a fixed sample
(mrnn_edge/prior.py says what they are for). Knows no sentence.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mrnn_edge.config import ImageSpec
from mrnn_edge.graphs import EncoderGraph
from mrnn_edge.image import read_pixels
from mrnn_edge.prior import PriorVectors
from mrnn_edge_train.progress import Track, untracked

SAMPLE: Final = 100
"""Pictures of the sample, where the split has as many (docs/probabilities.md has the choice)."""
_SEED: Final = 0
_CHUNK: Final = 32


def training_prior(
    encoder: EncoderGraph,
    pictures: Sequence[Path],
    spec: ImageSpec,
    *,
    track: Track = untracked,
) -> PriorVectors:
    """Mean vector over all the pictures, and the vectors of a sample drawn with a fixed seed.

    Raises an InputError for a picture that cannot be read.
    """
    vectors = []
    starts = range(0, len(pictures), _CHUNK)
    for start in track(starts, "prior", len(starts)):
        chunk = pictures[start : start + _CHUNK]
        vectors.append(encoder(np.stack([read_pixels(path, spec) for path in chunk])))
    rows = np.concatenate(vectors)
    drawn = np.random.default_rng(_SEED).permutation(len(rows))[:SAMPLE]
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return PriorVectors(mean=mean, sample=rows[np.sort(drawn)])
