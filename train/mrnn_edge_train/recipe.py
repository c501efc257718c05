"""What a training run is: one frozen dataclass, read from a TOML recipe, written back as JSON.

Recipes with names lie in recipes/ beside this module; a path to a TOML file serves as well.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from mrnn_edge.config import MAX_LENGTH_PENALTY, DecodeOptions
from mrnn_edge.errors import OptionError
from mrnn_edge_train.cells import Cell
from mrnn_edge_train.mixed_settings import Mixed


class Schedule(StrEnum):
    """What a learning rate does once it has reached its peak."""

    COSINE = "cosine"
    """It descends to zero, as a half wave of the cosine."""
    CONSTANT = "constant"
    """It stays."""


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
    """Side in pixels of the square that a crop is resized to, a multiple of 32. Smaller than
    `image_size` is faster, and makes up for things that look larger in a crop."""
    smallest_crop: float
    """Crops keep this share of the picture's area to all of it."""
    frozen: float
    """Share of the CNN's blocks, from the picture on, that stay as they are."""
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
    """The CNN computes in bfloat16 (autocast) where the processor, or the GPU, has it."""
    compile: bool = False
    """The CNN's pass is compiled first (torch.compile), which needs a compiler for C++."""
    nothing: float = 0.0
    """Share of the pictures in whose place one of nothing is shown (nothing.py)."""
    colour: float = 0.0
    """Saturation is changed by up to this share unless a sentence names a colour, brightness and
    contrast unless one names a colour or a light (augment.py); in later crops as well."""

    def __post_init__(self) -> None:
        for name in ("epochs", "images"):
            _need(self, name, getattr(self, name) >= 1, "1 or more")
        for name in ("label_smoothing", "warmup", "average"):
            _need(self, name, 0.0 <= getattr(self, name) < 1.0, "at least 0 and below 1")
        for name in ("cnn_rate", "learning_rate", "clip"):
            _need(self, name, getattr(self, name) > 0.0, "above 0")
        _need(self, "weight_decay", self.weight_decay >= 0.0, "0 or more")
        _need(self, "frozen", 0.0 <= self.frozen <= 1.0, "0 to 1")
        for name in ("nothing", "colour"):
            _need(self, name, 0.0 <= getattr(self, name) < 1.0, "at least 0 and below 1")
        _need(self, "smallest_crop", 0.0 < self.smallest_crop <= 1.0, "above 0, at most 1")
        fine = self.crop_size > 0 and self.crop_size % 32 == 0
        _need(self, "crop_size", fine, "a multiple of 32")


@dataclass(frozen=True, kw_only=True)
class Distill:
    """Soft targets of the second stage, `[distill]` in TOML: what other networks would say.

    The cost is (1 - weight) of the labels' and weight of the mean distribution of the teachers
    (Hinton et al. 2015). Raises OptionError for a value out of range.
    """

    teachers: tuple[str, ...]
    """Folders of runs with the same vocabulary, as paths from where training is started."""
    weight: float
    temperature: float
    """Both sides' logits are divided by it; above 1 the unlikely words weigh more."""

    def __post_init__(self) -> None:
        _need(self, "teachers", len(self.teachers) >= 1, "one run or more")
        _need(self, "weight", 0.0 < self.weight <= 1.0, "above 0, at most 1")
        _need(self, "temperature", self.temperature > 0.0, "above 0")


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
    """Captions drawn for each."""
    cost_weight: float
    """Of the bits a word of the references, beside the reward: it keeps the perplexity."""
    learning_rate: float
    warmup: float
    label_smoothing: float
    clip: float
    average: float
    """As in the first stage."""
    crops: int = 0
    """Of each picture, made as in `[finetune]` and read once by the tuned CNN: a step takes one of
    them or the whole picture. 0: whole pictures alone."""
    nothing: float = 0.0
    """Share of the pictures whose references are told of one of nothing, as in `[finetune]`; the
    captions are drawn of the pictures as they are."""

    def __post_init__(self) -> None:
        for name in ("epochs", "images"):
            _need(self, name, getattr(self, name) >= 1, "1 or more")
        _need(self, "crops", self.crops >= 0, "0 or more")
        _need(self, "samples", self.samples >= 2, "2 or more")
        for name in ("label_smoothing", "warmup", "average", "nothing"):
            _need(self, name, 0.0 <= getattr(self, name) < 1.0, "at least 0 and below 1")
        for name in ("learning_rate", "clip"):
            _need(self, name, getattr(self, name) > 0.0, "above 0")
        _need(self, "cost_weight", self.cost_weight >= 0.0, "0 or more")


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
    """Share of all steps that the learning rate rises."""
    batch: int
    """Sentences a step."""
    clip: float
    """Largest norm of the gradient."""
    epochs: int
    average: float
    """Decay of the weights' moving average, which is what is measured and kept; 0: no average."""
    beam: int
    """Beam of the dev captions, and their length penalty; their CIDEr says which epoch is kept,
    but for a network without the image."""
    length_penalty: float
    image: bool = True
    """The picture reaches the multimodal layer; false: the paper's m-RNN-Base, language alone."""
    mirror: bool = True
    """Half of the time a sentence of the first stage, and a crop of later ones, is of the mirror
    image; not where the sentence, or one of the picture's, says left or right."""
    classes: bool = False
    """The image vector is made of the CNN's own ImageNet classes too (encoders.py)."""
    no_repeat_ngram: int = 0
    """Of the dev captions: words in a row that stand only once in a sentence; 0: no limit."""
    schedule: Schedule = Schedule.COSINE
    """Of the learning rate after the warm-up, in all stages."""
    calibrate: bool = False
    """At the end a temperature is fitted on dev and folded into the softmax (calibration.py)."""
    mixed: Mixed | None = None
    finetune: Finetune | None = None
    distill: Distill | None = None
    """Only with `finetune`."""
    self_critical: SelfCritical | None = None

    def __post_init__(self) -> None:
        for name in ("image_size", "minimum_count", "embedding", "state", "multimodal"):
            _need(self, name, getattr(self, name) >= 1, "1 or more")
        for name in ("batch", "epochs", "beam"):
            _need(self, name, getattr(self, name) >= 1, "1 or more")
        for name in (
            "drop_image",
            "drop_word",
            "drop_multimodal",
            "label_smoothing",
            "warmup",
            "average",
        ):
            _need(self, name, 0.0 <= getattr(self, name) < 1.0, "at least 0 and below 1")
        for name in ("learning_rate", "clip"):
            _need(self, name, getattr(self, name) > 0.0, "above 0")
        _need(self, "l2", self.l2 >= 0.0, "0 or more")
        limit = MAX_LENGTH_PENALTY
        _need(self, "length_penalty", 0.0 <= self.length_penalty <= limit, f"0 to {limit:g}")
        for name in ("finetune", "self_critical"):
            if getattr(self, name) and not self.image:
                raise OptionError(
                    f"recipe: [{name}] is there, but no picture reaches the network "
                    "(image = false); leave one of them out"
                )
        if self.distill and not self.finetune:
            raise OptionError("recipe: [distill] is for the second stage; add [finetune]")
        if self.self_critical and not self.finetune:
            for name in ("crops", "nothing"):
                if getattr(self.self_critical, name):
                    raise OptionError(
                        f"recipe: self_critical.{name} is above 0, but the CNN that would read "
                        f"them is that of [finetune], which is not there; add it, or leave "
                        f"{name} out"
                    )

    @property
    def all_epochs(self) -> int:
        """Of all stages."""
        later = (stage.epochs for stage in (self.finetune, self.self_critical) if stage)
        return self.epochs + sum(later)

    @property
    def decoding(self) -> DecodeOptions:
        """The search of the dev captions; its length penalty is the exported model's."""
        return DecodeOptions(
            beam=self.beam,
            length_penalty=self.length_penalty,
            no_repeat_ngram=self.no_repeat_ngram,
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; a table that is not there has no key."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        if self.distill:
            values["distill"]["teachers"] = list(self.distill.teachers)
        return values


def _need(
    settings: Finetune | Distill | SelfCritical | Recipe, name: str, fine: bool, expected: str
) -> None:
    if not fine:
        names = {kind: f"{name}." for name, kind in _TABLES.items()}
        table = names.get(type(settings), "")
        raise OptionError(
            f"recipe: {table}{name} is {getattr(settings, name)}, expected {expected}"
        )


_TABLES: dict[str, type] = {
    "mixed": Mixed,
    "finetune": Finetune,
    "distill": Distill,
    "self_critical": SelfCritical,
}


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


def recipe_from_dict(values: Mapping[str, Any], where: str) -> Recipe:
    """A recipe of plain values; whole numbers serve as floats. Raises OptionError by key."""
    tables: dict[str, Any] = dict.fromkeys(_TABLES)
    for name, kind in _TABLES.items():
        table = values.get(name)
        if table is not None and not isinstance(table, Mapping):
            raise OptionError(f"{where}: {name} is {table!r}, expected a table")
        if table is not None:
            tables[name] = kind(**_settings(kind, table, f"{where}, {name}"))
    return Recipe(**_settings(Recipe, values, where), **tables)


def _settings(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The checked plain values of a recipe or of its table: every key, and no other.

    A key with a default may be left out: recipes and runs from before it go on to be read.
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
    if kind == tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise OptionError(f"{what} is {value!r}, expected a list of str")
        return tuple(value)
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
