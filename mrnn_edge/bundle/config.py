"""What a model is: `BundleConfig`, from config.json.

Frozen dataclasses and the strict reader of such records. Reads no file and checks no hash.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from enum import StrEnum
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from mrnn_edge.errors import BundleError
from mrnn_edge.options import MAX_LENGTH_PENALTY
from mrnn_edge.vocab import SpecialTokens

D = TypeVar("D")

MAX_SIDE = 4096
"""Largest side of the encoder's picture, in pixels; a model that declares more is refused."""

FORMAT = 1
"""The version of the bundle format that this code reads and writes."""


class Resize(StrEnum):
    """How a picture is resized to the model's size."""

    SQUASH = "squash"
    """The whole picture is stretched to the size; its aspect ratio is lost."""


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
    """The file of image vectors of training pictures (prior.py)."""

    file: str
    sha256: str
    bytes: int
    groups: int
    """K, the groups of training pictures; the mean of all comes before them in the file."""


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
class ConfidenceWeights:
    """The numbers that turn a caption's features into a confidence (language/confidence.py)."""

    bias: float
    weights: Mapping[str, float]
    """By the name of the feature."""


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
    licence: Mapping[str, Any]
    """Licences of code, weights and data, for people."""
    decoding: DecodeDefaults = DecodeDefaults()
    gradient: GraphFile | None = None
    """The graph for short lists of searches; None: every search scores all pictures."""
    prior: PriorFile | None = None
    """None: the model gives no evidence."""
    confidence: ConfidenceWeights | None = None
    """None: the model gives no confidence."""
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, keys in the order of this class; absent parts are left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, data: Any) -> "BundleConfig":
        """Read the JSON form; raises BundleError that names the key."""
        found = data.get("format") if isinstance(data, dict) else None
        if found != FORMAT:
            newer = isinstance(found, int) and found > FORMAT
            hint = "it was made by a newer mrnn-edge; upgrade" if newer else "not a model config"
            raise BundleError(f"config.json: format is {found!r}, expected {FORMAT}: {hint}")
        config = read_record(cls, data, lambda text: BundleError(f"config.json: {text}"))
        if not config.precisions:
            raise BundleError("config.json: precisions is empty; at least one pair is needed")
        if config.default_precision not in config.precisions:
            raise BundleError(
                f"config.json: default_precision is {config.default_precision}, "
                f"but precisions has {', '.join(config.precisions)}"
            )
        return config


def read_record(kind: type[D], data: Any, refuse: Callable[[str], Exception]) -> D:
    """Data of JSON or TOML as a dataclass; only keys whose field has a default may be absent.

    Fields may be int (0 or more), float, str, bool, Any, an enum, another such dataclass, a tuple
    or mapping of these, or None beside one of them. `refuse` makes the exception from a text that
    names the key, as in `image.width is -1, expected 0 or more`.
    """
    record: D = _read_object(kind, data, "", refuse)
    return record


def _read_object(kind: Any, data: Any, where: str, refuse: Callable[[str], Exception]) -> Any:
    _check_type(data, dict, where or "the file", "an object", refuse)
    known = {field.name: field for field in fields(kind)}
    prefix = f"{where}." if where else ""
    for key in data:
        if key not in known:
            raise refuse(f"unknown key {prefix}{key}; known are {', '.join(known)}")
    for name, field in known.items():
        if name not in data and field.default is field.default_factory is MISSING:
            raise refuse(f"the key {prefix}{name} is missing")
    return kind(
        **{key: _read(known[key].type, value, prefix + key, refuse) for key, value in data.items()}
    )


def _read(kind: Any, data: Any, where: str, refuse: Callable[[str], Exception]) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any or (data is None and NoneType in inner):
        return data
    if NoneType in inner:
        return _read(inner[0], data, where, refuse)
    if origin is tuple:
        _check_type(data, list, where, "a list", refuse)
        return tuple(_read(inner[0], each, where, refuse) for each in data)
    if origin is Mapping:
        _check_type(data, dict, where, "an object", refuse)
        return {
            _read(inner[0], key, where, refuse): _read(inner[1], each, f"{where}.{key}", refuse)
            for key, each in data.items()
        }
    if is_dataclass(kind):
        return _read_object(kind, data, where, refuse)
    if issubclass(kind, StrEnum):
        try:
            return kind(data)
        except ValueError:
            raise refuse(f"{where} is {data!r}, expected one of {', '.join(kind)}") from None
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(data, allowed) or isinstance(data, bool) is not (kind is bool):
        raise refuse(f"{where} is {data!r}, expected {kind.__name__}")
    if kind is int and data < 0:
        raise refuse(f"{where} is {data}, expected 0 or more")
    return data


def _check_type(
    data: Any, kind: type, where: str, expected: str, refuse: Callable[[str], Exception]
) -> None:
    if not isinstance(data, kind):
        raise refuse(f"{where} is {type(data).__name__}, expected {expected}")
