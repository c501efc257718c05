"""Consensus re-ranking: choose the caption most like those of similar training pictures.

    worth of a candidate = mean of its m largest similarities to the captions of the picture's k
                           nearest training pictures

The authors' own (Mao et al. 2015, arXiv 1412.6632 §8, and github.com/mjhucla/mRNN-CR: Euclidean
distance of image vectors that the m-RNN refined, here V_I I + b_m; similarity CIDEr; k = 60 and
m = 125 on MS COCO, which has 20 times the pictures of Flickr8K). The similarity is CIDEr-D with
the training split's document frequencies. It needs the training captions, which no bundle carries:
a measurement, not a feature. No torch.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats
from mrnn_edge.errors import OptionError
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.evaluation.reward import DocumentFrequencies, Weighed, cider_d

Tokens = Sequence[str]


def best(similarities: NDArray[np.float64], *, count: int) -> int:
    """The row of float64 [candidates, captions] with the largest sum of its `count` largest.

    Ties go to the earlier row.
    """
    return int(np.argmax(np.sort(similarities, axis=1)[:, -count:].sum(axis=1)))


class Consensus:
    """The training pictures, their vectors float32 [N, M] and their captions.

    Raises OptionError for fewer than one neighbour or similarity, and for more neighbours than
    there are pictures.
    """

    def __init__(
        self,
        images: Sequence[CaptionedImage],
        vectors: Floats,
        *,
        neighbours: int,
        similarities: int,
    ) -> None:
        if not 1 <= neighbours <= len(images):
            raise OptionError(f"neighbours is {neighbours}, expected 1 to {len(images)}")
        if similarities < 1:
            raise OptionError(f"similarities is {similarities}, expected 1 or more")
        self._vectors = vectors.astype(np.float64)
        self._squares = (self._vectors**2).sum(axis=1)
        self._neighbours = neighbours
        self._similarities = similarities
        self._sentences = [[tuple(words) for words in image.sentences] for image in images]
        self._frequencies = DocumentFrequencies(self._sentences)
        self._weighed: dict[int, list[Weighed]] = {}

    def choose(self, vector: Floats, candidates: Sequence[Tokens]) -> int:
        """The number of a picture's best candidate; ties go to the earlier one.

        `vector`, float32 [M], is the picture's.
        """
        return best(self.similarities(vector, candidates), count=self._similarities)

    def similarities(self, vector: Floats, candidates: Sequence[Tokens]) -> NDArray[np.float64]:
        """CIDEr-D of candidates against captions of near pictures, float64 [candidates, captions].

        `vector` is float32 [M]; the captions of the nearest picture come first.
        """
        near = [each for row in self.nearest(vector) for each in self._captions(row)]
        weighed = [self._frequencies.weigh(tuple(words)) for words in candidates]
        return np.array([[cider_d(each, caption) for caption in near] for each in weighed])

    def nearest(self, vector: Floats) -> list[int]:
        """The numbers of the training pictures nearest to float32 [M], the nearest first."""
        # |a - b|² - |b|²; |b|² is the same for all.
        distances = self._squares - 2.0 * (self._vectors @ vector.astype(np.float64))
        rows: list[int] = np.argsort(distances, kind="stable")[: self._neighbours].tolist()
        return rows

    def _captions(self, row: int) -> list[Weighed]:
        if row not in self._weighed:
            self._weighed[row] = [self._frequencies.weigh(each) for each in self._sentences[row]]
        return self._weighed[row]
