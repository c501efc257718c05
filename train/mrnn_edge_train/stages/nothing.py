"""Pictures of nothing: a plain colour, a slope from one to another, with grain or without.

A network that is shown some of them, with the sentences of pictures that it is not shown, learns
that they say nothing about the words. One that never saw any takes grey for snow and a slope of
brightness for a meadow, and is sure of it (docs/probabilities.md, "Pictures of nothing").
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def nothing(size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """One picture, [size, size, 3]."""
    slope = _slope(size, random)[:, :, None]
    picture = slope * _colour(random) + (1.0 - slope) * _colour(random)
    if random.random() < 0.5:
        picture += _grain(size, random)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _colour(random: np.random.Generator) -> NDArray[np.float64]:
    """Half of them greys: [3]."""
    return np.broadcast_to(random.uniform(0.0, 255.0, 3 if random.random() < 0.5 else 1), 3)


def _slope(size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Shares of one colour [size, size]: half to all of the way from 0 to 1, in any direction; for
    half of the pictures 0 throughout."""
    if random.random() < 0.5:
        return np.zeros((size, size))
    angle = random.uniform(0.0, 2.0 * np.pi)
    across = np.linspace(-0.5, 0.5, size)
    along = np.cos(angle) * across + np.sin(angle) * across[:, None]
    steepness = random.uniform(0.5, 1.0) / np.abs(along).max()
    shares: NDArray[np.float64] = 0.5 + 0.5 * steepness * along
    return shares


def _grain(size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Noise of one channel or three, in grains of a pixel up to a quarter of the picture."""
    cells = round(size / 2.0 ** random.uniform(0.0, np.log2(size / 4)))
    strength = 2.0 ** random.uniform(2.0, 8.0)
    channels = [
        np.asarray(
            Image.fromarray(random.uniform(-0.5, 0.5, (cells, cells)).astype(np.float32)).resize(
                (size, size), Image.Resampling.BILINEAR
            )
        )
        for _ in range(3 if random.random() < 0.5 else 1)
    ]
    grain: NDArray[np.float64] = strength * np.stack(channels, axis=2).astype(np.float64)
    return grain
