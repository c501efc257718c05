"""mrnn-edge: pictures described in one sentence, on small machines, in milliseconds, offline.

    from mrnn_edge import Captioner
    print(Captioner.load().caption("photo.jpg").text)

Importing this package imports none of its parts, nor numpy, Pillow or ONNX Runtime: the public
names are fetched when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrnn_edge.bundle.config import Precision
    from mrnn_edge.camera.frames import Frame
    from mrnn_edge.camera.scene import CaptionEvent
    from mrnn_edge.captioner import Captioner
    from mrnn_edge.errors import InputError, ModelError, MrnnEdgeError
    from mrnn_edge.image.read import Picture
    from mrnn_edge.index.index import Hit, Index, SearchResult
    from mrnn_edge.language.records import Alternative, Caption, Word
    from mrnn_edge.language.sentences import RankedSentence, SentenceScore
    from mrnn_edge.options import DecodeOptions, Prior, Sampling

__version__ = "0.1.0"

_MODULES = {
    "bundle.config": ("Precision",),
    "camera.frames": ("Frame",),
    "camera.scene": ("CaptionEvent",),
    "captioner": ("Captioner",),
    "errors": ("InputError", "ModelError", "MrnnEdgeError"),
    "image.read": ("Picture",),
    "index.index": ("Hit", "Index", "SearchResult"),
    "language.records": ("Alternative", "Caption", "Word"),
    "language.sentences": ("RankedSentence", "SentenceScore"),
    "options": ("DecodeOptions", "Prior", "Sampling"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Alternative",
    "Caption",
    "CaptionEvent",
    "Captioner",
    "DecodeOptions",
    "Frame",
    "Hit",
    "Index",
    "InputError",
    "ModelError",
    "MrnnEdgeError",
    "Picture",
    "Precision",
    "Prior",
    "RankedSentence",
    "Sampling",
    "SearchResult",
    "SentenceScore",
    "Word",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mrnn_edge' has no attribute {name!r}")
    return getattr(import_module(f"mrnn_edge.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
