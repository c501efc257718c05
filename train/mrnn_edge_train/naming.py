"""Whether a model says what a thing is: one of three captions of a single thing names it.

Kinds count: "a cat on a bed" names a siamese cat; kinds that could be anything (an animal, food)
do not (kinds.py). Takes pictures with names and their captions, gives figures. No torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mrnn_edge_train.everyday import NamedImage
from mrnn_edge_train.kinds import names_it, words_for

CAPTIONS = 3
"""Best captions of a picture that are looked at."""

Captions = Sequence[Sequence[str]]
"""Of a picture, as tokens, best first."""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Figures of a model on pictures of single things."""

    pictures: int
    named: float
    """Share of which one of the best three captions has a name or a kind."""
    first: float
    """Share of which the best caption has."""

    def to_record(self) -> dict[str, float]:
        """For JSON."""
        return {"pictures": self.pictures, "named": self.named, "first": self.first}


def naming(images: Sequence[NamedImage], captions: Sequence[Captions]) -> Naming:
    """What share of the pictures their captions name."""
    words = [words_for(image) for image in images]
    pairs = list(zip(captions, words, strict=True))
    return Naming(
        pictures=len(images),
        named=sum(names_it(said[:CAPTIONS], each) for said, each in pairs) / len(images),
        first=sum(names_it(said[:1], each) for said, each in pairs) / len(images),
    )
