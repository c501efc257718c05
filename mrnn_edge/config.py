"""What a model is (`BundleConfig`, from config.json), what a caller wants (`DecodeOptions`).

Frozen dataclasses and their strict JSON form. Knows the names of keys and their types; reads no
file and checks no hash.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

from mrnn_edge.errors import BundleError, OptionError
from mrnn_edge.vocab import SpecialTokens, tokenize

E = TypeVar("E", bound=StrEnum)

MAX_LENGTH_PENALTY = 10.0
"""Beyond it only the length counts; unbounded, the power of the length would overflow."""

MAX_SIDE = 4096
"""Pixels of a side of the encoder's picture; a model that declares more is refused, not run."""

MAX_REQUIRED = 8
"""Words that a sentence can be made to hold: the search keeps a beam for each number of them."""

FORMAT = 1
"""The version of the bundle format that this code reads and writes."""


class Resize(StrEnum):
    """How a picture is brought to the model's size."""

    SQUASH = "squash"
    """The whole picture is squeezed into the size, whatever its aspect ratio."""


class Precision(StrEnum):
    """The arithmetic of a pair of graphs."""

    FLOAT32 = "float32"
    INT8 = "int8"


class Prior(StrEnum):
    """What a sentence's probability is measured against."""

    TRAIN = "train"
    """The mean of P(w | I') over the training pictures, in groups: the paper's."""
    MEAN = "mean"
    """P(w | the mean image vector): one pass in place of K."""
    NONE = "none"
    """Nothing: no confidence, and ranks by P(w | I) alone."""


class GraphRole(StrEnum):
    """What a graph of a bundle is for."""

    ENCODER = "encoder"
    STEP = "step"
    GRADIENT = "gradient"


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """The picture that the encoder reads: uint8 [height, width, 3], RGB."""

    height: int
    width: int
    resize: Resize = Resize.SQUASH

    def __post_init__(self) -> None:
        for name, value in (("height", self.height), ("width", self.width)):
            if not 1 <= value <= MAX_SIDE:
                raise BundleError(
                    f"config.json: image.{name} is {value}, expected 1 to {MAX_SIDE} pixels"
                )


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Lengths of the vectors that the two graphs exchange."""

    vocabulary: int
    """V, the words that the step gives probabilities for."""
    image: int
    """M, the image vector, already projected into the multimodal layer."""
    state: int
    """R, the recurrent state."""


@dataclass(frozen=True, kw_only=True)
class GraphFile:
    """One ONNX file of a bundle."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class GraphPair:
    """The two graphs of one precision."""

    encoder: GraphFile
    step: GraphFile

    @property
    def bytes(self) -> int:
        """Size of both files."""
        return self.encoder.bytes + self.step.bytes


@dataclass(frozen=True, kw_only=True)
class PriorFile:
    """Image vectors of training pictures (prior.py)."""

    file: str
    sha256: str
    bytes: int
    groups: int
    """K, the groups of training pictures; the mean of all stands before them in the file."""


@dataclass(frozen=True, kw_only=True)
class DecodeDefaults:
    """Decoding settings that belong to the model, tuned on the dev split."""

    length_penalty: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.length_penalty <= MAX_LENGTH_PENALTY:
            raise BundleError(
                f"config.json: decoding.length_penalty is {self.length_penalty}, "
                f"expected 0 to {MAX_LENGTH_PENALTY:g}"
            )


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    """config.json: what the model is."""

    name: str
    id: str
    """First 16 hex digits of the sha256 over the trained weights and vocab.json."""
    image: ImageSpec
    sizes: Sizes
    tokens: SpecialTokens
    precisions: Mapping[Precision, GraphPair]
    default_precision: Precision
    opset: int
    training: Mapping[str, Any]
    """Provenance, for people: recipe, data, seed, epochs, hours."""
    licence: Mapping[str, str]
    """Licences of code, weights and data, for people."""
    decoding: DecodeDefaults = DecodeDefaults()
    gradient: GraphFile | None = None
    """The graph that makes the short list of a search; None: every search is exact over all."""
    prior: PriorFile | None = None
    """None: this model gives no confidence."""
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, keys in the order of this class; what the model lacks is left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, data: Any) -> "BundleConfig":
        """Read the JSON form; raises BundleError that names the key."""
        found = data.get("format") if isinstance(data, dict) else None
        if found != FORMAT:
            newer = isinstance(found, int) and found > FORMAT
            hint = "it was made by a newer mrnn-edge; upgrade" if newer else "it is no model config"
            raise BundleError(f"config.json: format is {found!r}, expected {FORMAT}: {hint}")
        values = _section(cls, data, "")
        pairs = _mapping(values["precisions"], "precisions")
        if not pairs:
            raise BundleError("config.json: precisions is empty; at least one pair is needed")
        values["precisions"] = {
            _choice(Precision, key, "precisions"): _pair(pair, f"precisions.{key}")
            for key, pair in pairs.items()
        }
        image = _section(ImageSpec, values["image"], "image")
        if "resize" in image:
            image["resize"] = _choice(Resize, image["resize"], "image.resize")
        values["image"] = ImageSpec(**image)
        values["sizes"] = Sizes(**_section(Sizes, values["sizes"], "sizes"))
        values["tokens"] = SpecialTokens(**_section(SpecialTokens, values["tokens"], "tokens"))
        decoding = _section(DecodeDefaults, values.get("decoding", {}), "decoding")
        values["decoding"] = DecodeDefaults(**decoding)
        if "gradient" in values:
            gradient = _section(GraphFile, values["gradient"], "gradient")
            values["gradient"] = GraphFile(**gradient)
        if "prior" in values:
            values["prior"] = PriorFile(**_section(PriorFile, values["prior"], "prior"))
        for key in ("training", "licence"):
            _mapping(values[key], key)
        values["default_precision"] = _choice(
            Precision, values["default_precision"], "default_precision"
        )
        if values["default_precision"] not in values["precisions"]:
            raise BundleError(
                f"config.json: default_precision is {values['default_precision']}, "
                f"but precisions has {', '.join(values['precisions'])}"
            )
        return cls(**values)


def _pair(data: Any, where: str) -> GraphPair:
    graphs = _section(GraphPair, data, where)
    return GraphPair(
        encoder=GraphFile(**_section(GraphFile, graphs["encoder"], f"{where}.encoder")),
        step=GraphFile(**_section(GraphFile, graphs["step"], f"{where}.step")),
    )


_JSON_TYPES: Mapping[Any, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str,)}


def _section(cls: Any, data: Any, where: str) -> dict[str, Any]:
    """The values of one JSON object, keys and plain types checked against a dataclass.

    A key whose field has a default may be absent.
    """
    data = _mapping(data, where)
    expected = {field.name: field.type for field in fields(cls)}
    needed = {field.name for field in fields(cls) if field.default is MISSING}
    prefix = f"{where}." if where else ""
    for key in data:
        if key not in expected:
            raise BundleError(
                f"config.json: unknown key {prefix}{key}; known are {', '.join(expected)}"
            )
        needed.discard(key)
    if needed:
        raise BundleError(f"config.json: the key {prefix}{min(needed)} is missing")
    for key, value in data.items():
        kind = expected[key]
        allowed = _JSON_TYPES.get(kind)
        if allowed and (isinstance(value, bool) or not isinstance(value, allowed)):
            raise BundleError(
                f"config.json: {prefix}{key} is {value!r}, expected {allowed[-1].__name__}"
            )
        if kind is int and value < 0:
            raise BundleError(f"config.json: {prefix}{key} is {value}, expected 0 or more")
    return dict(data)


def _mapping(data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise BundleError(
            f"config.json: {where or 'the file'} is {type(data).__name__}, expected an object"
        )
    return data


def _choice(enum: type[E], value: Any, where: str) -> E:
    try:
        return enum(value)
    except ValueError:
        known = ", ".join(enum)
        raise BundleError(f"config.json: {where} is {value!r}, expected one of {known}") from None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Words drawn at random in place of a search. Raises OptionError for a value out of range."""

    temperature: float = 1.0
    """Below 1 the likely words get likelier, above 1 the unlikely ones."""
    top_k: int | None = None
    """Draw from so many likeliest words only."""
    top_p: float | None = None
    """Draw from the fewest likeliest words that hold this share of the probability."""
    seed: int | None = None
    """The same seed draws the same sentence for a picture; None draws another each time."""

    def __post_init__(self) -> None:
        _check_range("temperature", self.temperature, 0.01, 100.0)
        if self.top_k is not None:
            _check_range("top_k", self.top_k, 1, 1_000_000)
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise OptionError(f"top_p is {self.top_p}, expected a share above 0, at most 1")
        if self.seed is not None:
            _check_range("seed", self.seed, 0, 2**63 - 1)


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """What the caller wants of a sentence. Raises OptionError for a value out of range."""

    beam: int | None = None
    """Hypotheses kept at each step; 1 is greedy decoding, None is 3."""
    nbest: int = 1
    """Sentences wanted; widens the beam to this number."""
    sampling: Sampling | None = None
    """Draw one sentence in place of searching for the best; takes no beam and no n best."""
    max_words: int = 20
    """Words at most, the prefix counted, the end sign not."""
    length_penalty: float | None = None
    """A sentence ranks by log_prob / (words + 1) ** length_penalty; None: as the bundle says."""
    prefix: str = ""
    """How the sentence begins."""
    no_repeat_ngram: int = 0
    """So many words in a row stand only once in a sentence; 0: no limit."""
    forbid: Sequence[str] = ()
    """Words that do not come, but in the prefix."""
    require: Sequence[str] = ()
    """Words that must come."""
    min_confidence: float | None = None
    """Bits of evidence from the image below which no caption is given; None: always give one."""

    def __post_init__(self) -> None:
        if self.beam is not None:
            _check_range("beam", self.beam, 1, 100)
        _check_range("nbest", self.nbest, 1, 100)
        _check_range("max_words", self.max_words, 1, 1000)
        _check_range("no_repeat_ngram", self.no_repeat_ngram, 0, 1000)
        if self.length_penalty is not None:
            _check_range("length_penalty", self.length_penalty, 0.0, MAX_LENGTH_PENALTY)
        if self.min_confidence is not None and not math.isfinite(self.min_confidence):
            raise OptionError(f"min_confidence is {self.min_confidence}, expected a number of bits")
        for name, words in (("forbid", self.forbid), ("require", self.require)):
            if isinstance(words, str):
                raise OptionError(f"{name} is one string; give a list of words")
            for word in words:
                if len(tokenize(word)) != 1:
                    raise OptionError(f"{name}: {word!r} is not one word of letters and digits")
        if len(self.require) > MAX_REQUIRED:
            raise OptionError(f"require has {len(self.require)} words, at most {MAX_REQUIRED} can")
        searching = (self.beam, self.length_penalty) != (None, None) or self.nbest > 1
        if self.sampling and (searching or self.require):
            raise OptionError(
                "sampling draws one sentence; leave it out, or leave out beam, nbest, "
                "length_penalty and require, which are for a search"
            )
        if self.prefix.strip() and not tokenize(self.prefix):
            raise OptionError(f"prefix: {self.prefix!r} has no word of letters and digits")
        if len(tokenize(self.prefix)) > self.max_words:
            raise OptionError(
                f"prefix has {len(tokenize(self.prefix))} words, max_words is {self.max_words}"
            )

    @property
    def width(self) -> int:
        """The beam that serves both wishes."""
        return max(3 if self.beam is None else self.beam, self.nbest)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise OptionError(f"{name} is {value}, expected a number from {least} to {most}")
