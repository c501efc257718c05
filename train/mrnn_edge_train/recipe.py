"""What a training run is: one frozen dataclass, read from a TOML recipe, written back as JSON.

Recipes with names lie in recipes/ beside this module; a path to a TOML file serves as well.
"""

import tomllib
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from mrnn_edge.config import MAX_LENGTH_PENALTY, DecodeOptions
from mrnn_edge.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training run. Raises OptionError for a value out of range."""

    encoder: str
    """Name of a CNN (encoders.py), or the path of a feature table (features.py)."""
    image_size: int
    """Side of the square picture in pixels."""
    minimum_count: int
    """Words seen less often in the training split become the unknown word."""
    embedding: int
    state: int
    multimodal: int
    drop_image: float
    drop_word: float
    drop_multimodal: float
    label_smoothing: float
    l2: float
    """lambda of the cost."""
    learning_rate: float
    """Peak of a linear warm-up and a cosine descent to zero."""
    warmup: float
    """Share of all steps that the learning rate rises."""
    batch: int
    """Sentences a step."""
    clip: float
    """Largest norm of the gradient."""
    epochs: int
    beam: int
    """Beam of the captions whose CIDEr picks the checkpoint, and their length penalty."""
    length_penalty: float

    def __post_init__(self) -> None:
        for name in ("image_size", "minimum_count", "embedding", "state", "multimodal"):
            self._need(name, getattr(self, name) >= 1, "1 or more")
        for name in ("batch", "epochs", "beam"):
            self._need(name, getattr(self, name) >= 1, "1 or more")
        for name in ("drop_image", "drop_word", "drop_multimodal", "label_smoothing", "warmup"):
            self._need(name, 0.0 <= getattr(self, name) < 1.0, "at least 0 and below 1")
        for name in ("learning_rate", "clip"):
            self._need(name, getattr(self, name) > 0.0, "above 0")
        self._need("l2", self.l2 >= 0.0, "0 or more")
        limit = MAX_LENGTH_PENALTY
        self._need("length_penalty", 0.0 <= self.length_penalty <= limit, f"0 to {limit:g}")

    def _need(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise OptionError(f"recipe: {name} is {getattr(self, name)}, expected {expected}")

    @property
    def decoding(self) -> DecodeOptions:
        """The search whose captions pick the checkpoint; the exported model's length penalty."""
        return DecodeOptions(beam=self.beam, length_penalty=self.length_penalty)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def named_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    return tuple(sorted(path.stem for path in _folder().iterdir() if path.suffix == ".toml"))


def read_recipe(recipe: str) -> Recipe:
    """A recipe by name or path. Raises OptionError if there is none, or a key is wrong."""
    path = _folder() / f"{recipe}.toml" if recipe in named_recipes() else Path(recipe)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise OptionError(
            f"{recipe} is no recipe and no file; recipes: {', '.join(named_recipes())}"
        ) from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise OptionError(f"{path} is not TOML ({error})") from None
    return recipe_from_dict(values, str(path))


def recipe_from_dict(values: dict[str, Any], where: str) -> Recipe:
    """A recipe of plain values; whole numbers serve as floats. Raises OptionError by key."""
    known = get_type_hints(Recipe)
    if unknown := sorted(values.keys() - known.keys()):
        raise OptionError(f"{where}: unknown key {unknown[0]}; known are {', '.join(known)}")
    if missing := sorted(known.keys() - values.keys()):
        raise OptionError(f"{where}: the key {missing[0]} is missing")
    checked: dict[str, Any] = {}
    for name, kind in known.items():
        value = values[name]
        allowed = int | float if kind is float else kind
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise OptionError(f"{where}: {name} is {value!r}, expected {kind.__name__}")
        checked[name] = float(value) if kind is float else value
    return Recipe(**checked)


def _folder() -> Path:
    return Path(str(resources.files("mrnn_edge_train"))) / "recipes"
