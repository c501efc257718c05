"""CIDEr-D of single sentences (Vedantam et al. 2015): fast, on words or ids, one at a time.

    10/4 sum_n mean over references of exp(-(l - l_r)^2 / 72) min(g_n, r_n) . r_n / (|g_n| |r_n|)

g_n and r_n weigh n-grams by tf-idf. Document frequencies come from the given references alone, so
they must be those of the training split. The reward of the last stage, and the similarity of
consensus re-ranking. Knows no network.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Sentence = tuple[int | str, ...]
_SIGMA = 6.0


@dataclass(frozen=True)
class Weighed:
    """A sentence as CIDEr-D sees it."""

    grams: tuple[dict[Sentence, float], ...]
    """Weights of its n-grams, for n = 1 to 4."""
    norms: tuple[float, ...]
    length: int
    """In pairs of words, as the coco-caption toolkit counts it."""


class DocumentFrequencies:
    """How many pictures of `references` [picture][sentence] have an n-gram in a sentence."""

    def __init__(self, references: Sequence[Sequence[Sentence]]) -> None:
        self._seen: Counter[Sentence] = Counter()
        for group in references:
            self._seen.update({gram for sentence in group for gram in _grams(sentence)})
        self._log_pictures = math.log(len(references))

    def weigh(self, sentence: Sentence) -> Weighed:
        """The tf-idf weights of a sentence."""
        grams: tuple[dict[Sentence, float], ...] = ({}, {}, {}, {})
        for gram, count in _grams(sentence).items():
            weight = count * (self._log_pictures - math.log(max(1, self._seen[gram])))
            grams[len(gram) - 1][gram] = weight
        norms = tuple(math.sqrt(sum(w * w for w in vector.values())) for vector in grams)
        return Weighed(grams, norms, max(0, len(sentence) - 1))


def cider_d(one: Weighed, reference: Weighed) -> float:
    """CIDEr-D of a sentence against one reference, 0..10."""
    total = 0.0
    for own, ref, norm in zip(
        one.grams, reference.grams, map(_product, one.norms, reference.norms), strict=True
    ):
        if norm:
            total += sum(min(w, ref[g]) * ref[g] for g, w in own.items() if g in ref) / norm
    near = math.exp(-((one.length - reference.length) ** 2) / (2 * _SIGMA**2))
    return 10.0 * near * total / 4


class CiderReward:
    """Scores sentences against the references [picture][sentence] that it was made of."""

    def __init__(self, references: Sequence[Sequence[Sentence]]) -> None:
        self._frequencies = DocumentFrequencies(references)
        self._references = [[self._frequencies.weigh(each) for each in g] for g in references]

    def score(self, picture: int, sentence: Sentence) -> float:
        """CIDEr-D of a sentence as a caption of the picture of that number."""
        weighed, references = self._frequencies.weigh(sentence), self._references[picture]
        return sum(cider_d(weighed, each) for each in references) / len(references)


def _grams(sentence: Sentence) -> Counter[Sentence]:
    return Counter(
        sentence[at : at + n] for n in range(1, 5) for at in range(len(sentence) - n + 1)
    )


def _product(one: float, other: float) -> float:
    return one * other
