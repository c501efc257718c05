"""Whether captions of a single thing name it: one of the three best has its name or kind.

"a cat on a bed" names a siamese cat; kinds that are too wide (an animal, food) do not count
(kinds.py). Takes pictures with names and their captions, gives figures. No torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mrnn_edge_train.data.everyday import NamedImage
from mrnn_edge_train.data.kinds import names_it, words_for

CAPTIONS = 3
"""How many of a picture's best captions count."""

Captions = Sequence[Sequence[str]]
"""A picture's captions as tokens, best first."""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Figures over pictures of single things."""

    pictures: int
    named: float
    """Share of pictures named by one of the three best captions."""
    first: float
    """Share of pictures named by the best caption."""

    def to_record(self) -> dict[str, float]:
        """For JSON."""
        return {"pictures": self.pictures, "named": self.named, "first": self.first}


def naming(images: Sequence[NamedImage], captions: Sequence[Captions]) -> Naming:
    """Measure the captions of each picture against its names."""
    words = [words_for(image) for image in images]
    pairs = list(zip(captions, words, strict=True))
    return Naming(
        pictures=len(images),
        named=sum(names_it(said[:CAPTIONS], each) for said, each in pairs) / len(images),
        first=sum(names_it(said[:1], each) for said, each in pairs) / len(images),
    )
