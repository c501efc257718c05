"""What a training run is: one frozen dataclass, read from a TOML recipe, written back as JSON.

Recipes with names lie in recipes/ beside this module; a path to a TOML file serves as well.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from mrnn_edge.errors import OptionError
from mrnn_edge.options import MAX_LENGTH_PENALTY, DecodeOptions
from mrnn_edge_train.network.cells import Cell


class Schedule(StrEnum):
    """The learning rate after its peak."""

    COSINE = "cosine"
    """Falls to zero along half a cosine wave."""
    CONSTANT = "constant"
    """Constant."""


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """The second stage, `[finetune]` in TOML: CNN and language model together.

    It starts from the best weights of the first, with the first's dropouts. Raises OptionError for
    a value out of range.
    """

    epochs: int
    images: int
    """Pictures a step, each with all its sentences."""
    crop_size: int
    """Side in pixels of the square that a crop is resized to, a multiple of 32. Less than
    `image_size` is faster, and compensates for objects that look larger in a crop."""
    smallest_crop: float
    """Crops keep this share of the picture's area to all of it."""
    frozen: float
    """Share of the CNN's blocks, counted from the input, that are not trained."""
    cnn_rate: float
    """Peak learning rate of the CNN."""
    learning_rate: float
    """Peak learning rate of the language model."""
    weight_decay: float
    """AdamW's."""
    warmup: float
    label_smoothing: float
    clip: float
    average: float
    """As in the first stage."""
    bfloat16: bool
    """The CNN computes in bfloat16 (autocast) if the processor or GPU supports it."""
    compile: bool = False
    """Compile the CNN's forward pass (torch.compile); needs a C++ compiler."""
    nothing: float = 0.0
    """Share of pictures replaced by a blank one (augment.py)."""

    def __post_init__(self) -> None:
        _check_limits(self)
        fine = self.crop_size > 0 and self.crop_size % 32 == 0
        _need(self, "crop_size", fine, "a multiple of 32")


@dataclass(frozen=True, kw_only=True)
class SelfCritical:
    """The last stage, `[self_critical]` in TOML: the CIDEr-D of samples as a reward.

    It starts from the best weights so far, with the first stage's dropouts; the CNN is frozen.
    Raises OptionError for a value out of range.
    """

    epochs: int
    images: int
    """Pictures a step."""
    samples: int
    """Captions sampled for each picture."""
    cost_weight: float
    """Weight of the references' bits a word beside the reward; it preserves the perplexity."""
    learning_rate: float
    warmup: float
    label_smoothing: float
    clip: float
    average: float
    """As in the first stage."""
    crops: int = 0
    """Crops of each picture, made as in `[finetune]` and encoded once by the tuned CNN: a step
    takes one of them or the whole picture. 0: whole pictures only."""
    nothing: float = 0.0
    """Share of pictures replaced by a blank one when scoring the references, as in `[finetune]`;
    captions are sampled for the real pictures."""

    def __post_init__(self) -> None:
        _check_limits(self)


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
    cell: Cell
    """The recurrent cell (cells.py)."""
    tied: bool
    """The softmax uses embedding I."""
    drop_image: float
    drop_word: float
    drop_multimodal: float
    label_smoothing: float
    l2: float
    """lambda of the cost."""
    learning_rate: float
    """Peak, to which a linear warm-up rises."""
    warmup: float
    """Share of all steps in which the learning rate rises."""
    batch: int
    """Sentences a step."""
    clip: float
    """Largest norm of the gradient."""
    epochs: int
    average: float
    """Decay of the weights' moving average, which is measured and kept; 0: no average."""
    beam: int
    """Beam of the dev captions, and their length penalty; their CIDEr selects the epoch to keep,
    except for a network without the image."""
    length_penalty: float
    image: bool = True
    """The picture reaches the multimodal layer; false: the paper's m-RNN-Base, language alone."""
    mirror: bool = True
    """Mirror pictures with probability 1/2, but not where a sentence says left or right: the
    sentence itself in the first stage, any of the picture's in later ones."""
    schedule: Schedule = Schedule.COSINE
    """Of the learning rate after the warm-up, in all stages."""
    calibrate: bool = False
    """At the end a temperature is fitted on dev and folded into the softmax (calibration.py)."""
    finetune: Finetune | None = None
    self_critical: SelfCritical | None = None

    def __post_init__(self) -> None:
        _check_limits(self)
        for name in ("finetune", "self_critical"):
            if getattr(self, name) and not self.image:
                raise OptionError(
                    f"recipe: [{name}] is given, but no picture reaches the network "
                    "(image = false); remove one of them"
                )
        if self.self_critical and not self.finetune:
            for name in ("crops", "nothing"):
                if getattr(self.self_critical, name):
                    raise OptionError(
                        f"recipe: self_critical.{name} is above 0, but needs the tuned CNN of "
                        f"[finetune], which is missing; add it, or remove {name}"
                    )

    @property
    def all_epochs(self) -> int:
        """Of all stages."""
        later = (stage.epochs for stage in (self.finetune, self.self_critical) if stage)
        return self.epochs + sum(later)

    @property
    def decoding(self) -> DecodeOptions:
        """The search for dev captions; the exported model keeps its length penalty."""
        return DecodeOptions(beam=self.beam, length_penalty=self.length_penalty)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; a missing table has no key."""
        return {key: value for key, value in asdict(self).items() if value is not None}


_ONE = "epochs images image_size minimum_count embedding state multimodal batch beam"
_SHARE = "label_smoothing warmup average nothing drop_image drop_word drop_multimodal"
_LIMITS: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    (_ONE, lambda value: value >= 1, "1 or more"),
    ("samples", lambda value: value >= 2, "2 or more"),
    (_SHARE, lambda value: 0.0 <= value < 1.0, "at least 0 and below 1"),
    ("cnn_rate learning_rate clip", lambda value: value > 0.0, "above 0"),
    ("weight_decay cost_weight crops l2", lambda value: value >= 0.0, "0 or more"),
    ("frozen", lambda value: 0.0 <= value <= 1.0, "0 to 1"),
    ("smallest_crop", lambda value: 0.0 < value <= 1.0, "above 0, at most 1"),
    (
        "length_penalty",
        lambda value: 0.0 <= value <= MAX_LENGTH_PENALTY,
        f"0 to {MAX_LENGTH_PENALTY:g}",
    ),
)
"""Limits of settings by name, which have one meaning in all tables."""


def _check_limits(settings: Finetune | SelfCritical | Recipe) -> None:
    for names, within, expected in _LIMITS:
        for name in names.split():
            if hasattr(settings, name):
                _need(settings, name, within(getattr(settings, name)), expected)


def _need(settings: Finetune | SelfCritical | Recipe, name: str, fine: bool, expected: str) -> None:
    if not fine:
        names = {kind: f"{name}." for name, kind in _TABLES.items()}
        table = names.get(type(settings), "")
        raise OptionError(
            f"recipe: {table}{name} is {getattr(settings, name)}, expected {expected}"
        )


_TABLES: dict[str, type] = {
    "finetune": Finetune,
    "self_critical": SelfCritical,
}
_FORMER = ("colour", 0.0)
"""A former key of `[finetune]` in older runs, with the value that had no effect."""


def named_recipes() -> tuple[str, ...]:
    """Names of the recipes in the package."""
    return tuple(sorted(path.stem for path in _folder().iterdir() if path.suffix == ".toml"))


def read_recipe(recipe: str) -> Recipe:
    """A recipe by name or path. Raises OptionError if it is missing, or a key is wrong."""
    path = _folder() / f"{recipe}.toml" if recipe in named_recipes() else Path(recipe)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise OptionError(
            f"{recipe} is neither a recipe nor a file; recipes: {', '.join(named_recipes())}"
        ) from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise OptionError(f"{path} is not TOML ({error})") from None
    return recipe_from_dict(values, str(path))


def recipe_from_dict(values: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from plain values; integers serve as floats. Raises OptionError with the key."""
    tables: dict[str, Any] = dict.fromkeys(_TABLES)
    for name, kind in _TABLES.items():
        table = values.get(name)
        if table is not None and not isinstance(table, Mapping):
            raise OptionError(f"{where}: {name} is {table!r}, expected a table")
        if table is not None:
            table = dict(each for each in table.items() if each != _FORMER)
            tables[name] = kind(**_settings(kind, table, f"{where}, {name}"))
    return Recipe(**_settings(Recipe, values, where), **tables)


def _settings(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The checked plain values of a recipe or of its table.

    Only a key with a default may be missing, so that older recipes and runs stay readable.
    """
    known = get_type_hints(kind)
    if unknown := sorted(values.keys() - known.keys()):
        raise OptionError(f"{where}: unknown key {unknown[0]}; known are {', '.join(known)}")
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if missing := sorted(needed - values.keys()):
        raise OptionError(f"{where}: the key {missing[0]} is missing")
    return {
        name: _checked(values[name], type_, f"{where}: {name}")
        for name, type_ in known.items()
        if name in values and name not in _TABLES
    }


def _checked(value: Any, kind: Any, what: str) -> Any:
    if issubclass(kind, StrEnum):
        if value not in list(kind):
            raise OptionError(f"{what} is {value!r}, expected one of {', '.join(kind)}")
        return kind(value)
    allowed = int | float if kind is float else kind
    if not isinstance(value, allowed) or isinstance(value, bool) is not (kind is bool):
        raise OptionError(f"{what} is {value!r}, expected {kind.__name__}")
    return float(value) if kind is float else value


def _folder() -> Path:
    return Path(str(resources.files("mrnn_edge_train"))) / "recipes"
