"""What a training run is: one frozen dataclass, read from a TOML recipe, written back as JSON.

Recipes with names lie in recipes/ beside this module; a path to a TOML file serves as well.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

from mrnn_edge.bundle.config import read_record
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
class Settings:
    """One table of a recipe. Raises OptionError for a value out of range."""

    table: ClassVar[str] = ""
    """Its name in TOML; empty for the recipe itself."""

    def __post_init__(self) -> None:
        for names, within, expected in _LIMITS:
            for name in names.split():
                if hasattr(self, name):
                    self._need(name, within(getattr(self, name)), expected)

    def _need(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            where = f"{self.table}.{name}" if self.table else name
            raise OptionError(f"recipe: {where} is {getattr(self, name)}, expected {expected}")


@dataclass(frozen=True, kw_only=True)
class StageSettings(Settings):
    """What each stage has."""

    epochs: int
    learning_rate: float
    """Of the language model: the peak, to which a linear warm-up rises."""
    warmup: float
    """Share of all steps in which the learning rate rises."""
    label_smoothing: float
    clip: float
    """Largest norm of the gradient."""
    average: float
    """Decay of the weights' moving average, which is measured and kept; 0: no average."""


@dataclass(frozen=True, kw_only=True)
class Mixed(Settings):
    """`[mixed]` in TOML: pairs, sentences and names together (mixed.py). Weight 0: without it."""

    table = "mixed"

    sentences: float = 0.0
    """Weight of the bits a word of sentences alone, the picture left out."""
    sentence_batch: int = 64
    """Sentences alone a step."""
    names: float = 0.0
    """Weight of the cost of names alone, the language part left out."""
    name_batch: int = 64
    """Named pictures a step."""
    prototypes: int = 0
    """How many of `name_batch` are classes of ImageNet in place of pictures: the mean picture with
    the CNN's classifier sure of the class. Only with `classes`."""
    weak: int = 0
    """Sentences lent to each named picture of a single thing (weak.py)."""
    weak_weight: float = 1.0
    """How often an epoch has each of them."""
    tuned_names: int = 0
    """In `[finetune]`: named pictures a step, beside those with sentences."""
    remembered: float = 0.0
    """In `[finetune]`: weight of the bits by which the CNN's classifier, on the named pictures,
    differs from the classifier before tuning. Only with `classes`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fine = self.prototypes <= self.name_batch
        self._need("prototypes", fine, f"0 to {self.name_batch}")


@dataclass(frozen=True, kw_only=True)
class Finetune(StageSettings):
    """The second stage, `[finetune]` in TOML: CNN and language model together.

    It starts from the best weights of the first, with the first's dropouts.
    """

    table = "finetune"

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
    weight_decay: float
    """AdamW's."""
    bfloat16: bool
    """The CNN computes in bfloat16 (autocast) if the processor or GPU supports it."""
    nothing: float = 0.0
    """Share of pictures replaced by a blank one (augment.py)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fine = self.crop_size > 0 and self.crop_size % 32 == 0
        self._need("crop_size", fine, "a multiple of 32")


@dataclass(frozen=True, kw_only=True)
class SelfCritical(StageSettings):
    """The last stage, `[self_critical]` in TOML: the CIDEr-D of samples as a reward.

    It starts from the best weights so far, with the first stage's dropouts; the CNN is frozen.
    """

    table = "self_critical"

    images: int
    """Pictures a step."""
    samples: int
    """Captions sampled for each picture."""
    cost_weight: float
    """Weight of the references' bits a word beside the reward; it preserves the perplexity."""
    crops: int = 0
    """Crops of each picture, made as in `[finetune]` and encoded once by the tuned CNN: a step
    takes one of them or the whole picture. 0: whole pictures only."""
    nothing: float = 0.0
    """Share of pictures replaced by a blank one when scoring the references, as in `[finetune]`;
    captions are sampled for the real pictures."""


@dataclass(frozen=True, kw_only=True)
class Recipe(StageSettings):
    """A training run: the settings of the first stage, and a table for each later one."""

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
    l2: float
    """lambda of the cost."""
    batch: int
    """Sentences a step."""
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
    classes: bool = False
    """The image vector includes the CNN's own ImageNet classes (encoders.py)."""
    no_repeat_ngram: int = 0
    """Of the dev captions: the length of word sequences that may not repeat; 0: no limit."""
    calibrate: bool = False
    """At the end a temperature is fitted on dev and folded into the softmax (calibration.py)."""
    mixed: Mixed | None = None
    finetune: Finetune | None = None
    self_critical: SelfCritical | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
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
        return DecodeOptions(
            beam=self.beam,
            length_penalty=self.length_penalty,
            no_repeat_ngram=self.no_repeat_ngram,
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; a missing table has no key."""
        return {key: value for key, value in asdict(self).items() if value is not None}


_ONE = (
    "epochs images image_size minimum_count embedding state multimodal batch beam "
    "sentence_batch name_batch"
)
_SHARE = "label_smoothing warmup average nothing drop_image drop_word drop_multimodal"
_NOT_NEGATIVE = (
    "weight_decay cost_weight crops l2 no_repeat_ngram sentences names prototypes weak weak_weight "
    "tuned_names remembered"
)
_LIMITS: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    (_ONE, lambda value: value >= 1, "1 or more"),
    ("samples", lambda value: value >= 2, "2 or more"),
    (_SHARE, lambda value: 0.0 <= value < 1.0, "at least 0 and below 1"),
    ("cnn_rate learning_rate clip", lambda value: value > 0.0, "above 0"),
    (_NOT_NEGATIVE, lambda value: value >= 0.0, "0 or more"),
    ("frozen", lambda value: 0.0 <= value <= 1.0, "0 to 1"),
    ("smallest_crop", lambda value: 0.0 < value <= 1.0, "above 0, at most 1"),
    (
        "length_penalty",
        lambda value: 0.0 <= value <= MAX_LENGTH_PENALTY,
        f"0 to {MAX_LENGTH_PENALTY:g}",
    ),
)
"""Limits of settings by name, which have one meaning in all tables."""


_FORMER = {"colour": 0.0, "compile": False}
"""Former keys of `[finetune]` in older runs, with the values that had no effect."""


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
    """A recipe from plain values. Raises OptionError with the key."""
    if isinstance(tuned := values.get("finetune"), dict):
        kept = {key: each for key, each in tuned.items() if _FORMER.get(key) != each}
        values = {**values, "finetune": kept}
    return read_record(Recipe, values, lambda text: OptionError(f"{where}: {text}"))


def _folder() -> Path:
    return Path(str(resources.files("mrnn_edge_train"))) / "recipes"
