"""CIDEr-D as a reward for sampled captions (Vedantam et al. 2015): fast, on ids, one at a time.

    10/4 sum_n mean over references of exp(-(l - l_r)^2 / 72) min(g_n, r_n) . r_n / (|g_n| |r_n|)

g_n and r_n weigh n-grams by tf-idf. Document frequencies come from the given references alone, so
they must be those of the training split. Knows no words and no network.
"""

import math
from collections import Counter
from collections.abc import Sequence

Ids = tuple[int, ...]
_Vectors = tuple[list[dict[Ids, float]], list[float], int]
_SIGMA = 6.0


class CiderReward:
    """Scores sentences against the references [picture][sentence] that it was made of."""

    def __init__(self, references: Sequence[Sequence[Ids]]) -> None:
        self._seen: Counter[Ids] = Counter()
        for group in references:
            self._seen.update({gram for sentence in group for gram in _grams(sentence)})
        self._log_pictures = math.log(len(references))
        self._references = [[self._vectors(sentence) for sentence in g] for g in references]

    def score(self, picture: int, sentence: Ids) -> float:
        """CIDEr-D of a sentence as a caption of the picture of that number."""
        grams, norms, length = self._vectors(sentence)
        total = 0.0
        for ref_grams, ref_norms, ref_length in self._references[picture]:
            near = math.exp(-((length - ref_length) ** 2) / (2 * _SIGMA**2))
            for own, ref, norm in zip(
                grams, ref_grams, map(_product, norms, ref_norms), strict=True
            ):
                if norm:
                    common = (min(w, ref[g]) * ref[g] for g, w in own.items() if g in ref)
                    total += near * sum(common) / norm
        return 10.0 * total / 4 / len(self._references[picture])

    def _vectors(self, sentence: Ids) -> _Vectors:
        vectors: list[dict[Ids, float]] = [{}, {}, {}, {}]
        for gram, count in _grams(sentence).items():
            weight = count * (self._log_pictures - math.log(max(1, self._seen[gram])))
            vectors[len(gram) - 1][gram] = weight
        norms = [math.sqrt(sum(w * w for w in vector.values())) for vector in vectors]
        # Length in pairs of words, as the coco-caption toolkit counts it.
        return vectors, norms, max(0, len(sentence) - 1)


def _grams(sentence: Ids) -> Counter[Ids]:
    return Counter(
        sentence[at : at + n] for n in range(1, 5) for at in range(len(sentence) - n + 1)
    )


def _product(one: float, other: float) -> float:
    return one * other
