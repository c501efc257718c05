"""What a model is: `BundleConfig`, from config.json.

Frozen dataclasses and their strict JSON form. Knows the names of keys and their types; reads no
file and checks no hash.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

from mrnn_edge.errors import BundleError
from mrnn_edge.options import MAX_LENGTH_PENALTY
from mrnn_edge.vocab import SpecialTokens

E = TypeVar("E", bound=StrEnum)

MAX_SIDE = 4096
"""Pixels of a side of the encoder's picture; a model that declares more is refused, not run."""

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
