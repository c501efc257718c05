"""What a recipe says of training on pairs, sentences and names together, `[mixed]` in TOML."""

from dataclasses import dataclass

from mrnn_edge.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """Three costs through the same layers. A weight of 0 leaves a cost out.

    Raises OptionError for a value out of range.
    """

    sentences: float = 0.0
    """Weight of the bits a word of sentences alone, the picture left out."""
    sentence_batch: int = 64
    """Of them, a step."""
    names: float = 0.0
    """Weight of the cost of names alone, the language part left out."""
    name_batch: int = 64
    """Named pictures a step."""
    prototypes: int = 0
    """Of `name_batch` so many are no pictures but classes of ImageNet: the mean picture of which
    the CNN's classifier is sure. Only with `classes`."""
    weak: int = 0
    """Sentences that are lent to each named picture of a single thing (weak.py)."""
    weak_weight: float = 1.0
    """How often an epoch has each of them."""
    tuned_names: int = 0
    """In `[finetune]`: named pictures a step, beside those with sentences."""
    remembered: float = 0.0
    """In `[finetune]`: weight of the bits by which the CNN's classifier, of the named pictures,
    must still say what it said before the CNN was tuned. Only with `classes`."""

    def __post_init__(self) -> None:
        for name in ("sentences", "names", "weak_weight", "remembered"):
            _need(name, getattr(self, name), getattr(self, name) >= 0.0, "0 or more")
        for name in ("sentence_batch", "name_batch"):
            _need(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        for name in ("weak", "tuned_names"):
            _need(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        fine = 0 <= self.prototypes <= self.name_batch
        _need("prototypes", self.prototypes, fine, f"0 to {self.name_batch}")


def _need(name: str, value: float, fine: bool, expected: str) -> None:
    if not fine:
        raise OptionError(f"recipe: mixed.{name} is {value}, expected {expected}")
