"""A lesson about a word, its pictures being image vectors of twelve numbers."""

from pathlib import Path

import numpy as np

from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.further.teach import Lesson
from mrnn_edge_train.stages.features import FeatureTable


def lesson(*, word: str = "zebra", count: int = 12) -> Lesson:
    """Pictures that differ from the typical ones in the first three numbers of their vectors."""
    random = np.random.default_rng(4)
    vectors = random.normal(0, 0.3, (count, 12)).astype(np.float32)
    vectors[:, :3] += 3.0
    names = [f"{number}.png" for number in range(count)]
    sentences = (("a", word, "runs"), ("a", word, "sits", "here"))
    return Lesson(
        word=word,
        images=[CaptionedImage(path=Path(name), sentences=sentences) for name in names],
        table=FeatureTable(names=tuple(names), features=vectors, mirrored=None),
        typical=random.normal(0, 0.3, (30, 12)).astype(np.float32),
    )
