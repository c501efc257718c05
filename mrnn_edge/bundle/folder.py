"""A model folder: finds it, checks it, reads its parts.

    config.json  vocab.json  encoder.onnx  step.onnx  [encoder.int8.onnx  step.int8.onnx]
    [gradient.onnx]  [prior.npy]  metrics.json  README.md

Each file is read once: the runtime gets the bytes that were hashed. Knows files and hashes; runs no
graph.
"""

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrnn_edge.bundle.config import BundleConfig, GraphFile, GraphRole, Precision, PriorFile
from mrnn_edge.bundle.graph_bytes import graph_faults
from mrnn_edge.errors import (
    BundleError,
    ModelNotFoundError,
    OptionError,
    VocabularyMismatchError,
)
from mrnn_edge.paths import open_nonblocking
from mrnn_edge.vocab import Vocabulary, vocabulary_digest

if TYPE_CHECKING:
    from mrnn_edge.bundle.prior import PriorVectors

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.(onnx|npy)")
_MAX_JSON_BYTES = 64 << 20
"""The shipped models' longest is vocab.json, 0.04 MB."""
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A checked model folder. The graphs' bytes stay on disk until `graph` reads them."""

    folder: Path
    config: BundleConfig
    vocabulary: Vocabulary
    vocabulary_sha256: str

    def graph(self, precision: Precision, role: GraphRole) -> bytes:
        """The bytes of a graph, their size and sha256 checked against config.json.

        The gradient graph is the same for all precisions. Raises OptionError for a precision or
        gradient that the bundle lacks, BundleError for a damaged file.
        """
        if precision not in self.config.precisions:
            raise OptionError(
                f"{self.config.name} has no {precision} graphs; "
                f"it has {', '.join(self.config.precisions)}"
            )
        pair = self.config.precisions[precision]
        entries = {
            GraphRole.ENCODER: pair.encoder,
            GraphRole.STEP: pair.step,
            GraphRole.GRADIENT: self.config.gradient,
        }
        entry = entries[role]
        if entry is None:
            raise OptionError(f"{self.config.name} has no {role} graph; export the model again")
        return _read_graph(self.folder, entry)

    def prior(self) -> "PriorVectors | None":
        """The image vectors of training pictures, or None where the bundle has none.

        Raises BundleError for a damaged file, or one that config.json does not describe.
        """
        entry = self.config.prior
        if entry is None:
            return None
        # numpy, beside whose import a start reads the graphs.
        from mrnn_edge.bundle.prior import PriorVectors

        data = _read_hashed(self.folder, entry)
        try:
            prior = PriorVectors.from_npy(data)
        except ValueError as error:
            raise BundleError(
                f"{self.folder / entry.file}: {error}; export the model again"
            ) from None
        expected = (entry.groups, self.config.sizes.image)
        if prior.centres.shape != expected:
            raise BundleError(
                f"{self.folder / entry.file} holds centres of {list(prior.centres.shape)}, "
                f"config.json says {list(expected)}; export the model again"
            )
        return prior

    def metadata(self, role: GraphRole) -> dict[str, str]:
        """The metadata_props that a graph of this bundle must have."""
        return graph_metadata(
            bundle_id=self.config.id, vocabulary_sha256=self.vocabulary_sha256, role=role
        )


def graph_metadata(*, bundle_id: str, vocabulary_sha256: str, role: GraphRole) -> dict[str, str]:
    """The metadata_props that tie a graph to its bundle, vocabulary and role."""
    return {"bundle_id": bundle_id, "vocabulary_sha256": vocabulary_sha256, "graph": str(role)}


def shipped_models() -> tuple[str, ...]:
    """Names of the models inside the package, the default first; none in a zip."""
    folder = _models_folder()
    if not folder.is_dir():
        return ()
    names = sorted(path.name for path in folder.iterdir() if (path / "config.json").is_file())
    default = default_model()
    return tuple(sorted(names, key=lambda name: (name != default, name)))


def default_model() -> str:
    """The name of the model that is used if none is requested.

    Raises ModelNotFoundError if the package is not a folder: in a zip, or frozen without its data.
    """
    if not _models_folder().is_dir():
        raise ModelNotFoundError(
            f"the models of mrnn-edge are not at {_models_folder()}; install the wheel with pip, "
            "since it does not run from within a zip (a frozen program: docs/frozen.md)"
        )
    return (_models_folder() / "default").read_text(encoding="utf-8").strip()


def shipped_name(folder: Path) -> str | None:
    """The name of the shipped model in this folder; None for any other folder."""
    name = folder.name
    return name if name in shipped_models() and folder == _models_folder() / name else None


def find_bundle(model: str | os.PathLike[str] | None) -> Path:
    """The folder of a shipped model, or the given folder; None means the default model.

    Raises ModelNotFoundError, which lists the shipped names.
    """
    shipped = shipped_models()
    if model is None:
        return _models_folder() / default_model()
    name = os.fspath(model)
    if name.startswith("~"):  # a shell expands no `--model=~/mine`
        name = os.path.expanduser(name)
    if name in shipped:
        return _models_folder() / name
    # os.path answers False where pathlib raises: a NUL, a name too long.
    if os.path.isdir(name):
        return Path(name)
    what = (
        "is a file, not a model folder (`mrnn-edge export` makes one of a training run)"
        if os.path.exists(name)
        else "is neither a model name nor a folder"
    )
    raise ModelNotFoundError(
        f"{name} {what}; shipped models: {', '.join(shipped_models()) or 'none'} "
        f"(in {_models_folder()})"
    )


def load_bundle(model: str | os.PathLike[str] | None) -> Bundle:
    """Find a bundle and check config.json, vocab.json, their agreement and that all files exist.

    Raises ModelNotFoundError, BundleError or VocabularyMismatchError.
    """
    folder = find_bundle(model)
    config = BundleConfig.from_dict(_read_json(folder, "config.json")[1])
    vocab_json, words = _read_json(folder, "vocab.json")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BundleError(f"{folder / 'vocab.json'} is not a list of words; export the model again")
    vocabulary = Vocabulary(tuple(words), config.tokens)
    if len(vocabulary) != config.sizes.vocabulary:
        raise VocabularyMismatchError(
            f"{folder}: vocab.json has {len(vocabulary)} words, "
            f"config.json says {config.sizes.vocabulary}; take both from one export"
        )
    for entry in _entries(config):
        if not _PLAIN_NAME.fullmatch(entry.file):
            raise BundleError(
                f"config.json names the file {entry.file!r}; "
                "expected a plain file name that ends in .onnx or .npy"
            )
        if not (folder / entry.file).is_file():
            raise BundleError(
                f"{folder / entry.file} is missing, config.json names it; copy the whole folder"
            )
    return Bundle(
        folder=folder,
        config=config,
        vocabulary=vocabulary,
        vocabulary_sha256=vocabulary_digest(vocab_json),
    )


def read_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json of a bundle. Raises BundleError if it is missing or not a JSON object."""
    _, metrics = _read_json(folder, "metrics.json")
    if not isinstance(metrics, dict):
        raise BundleError(f"{folder / 'metrics.json'}: expected a JSON object")
    return metrics


def _models_folder() -> Path:
    return Path(__file__).parents[1] / "models"


def _entries(config: BundleConfig) -> list[GraphFile | PriorFile]:
    """The files that config.json names."""
    pairs = (graph for pair in config.precisions.values() for graph in (pair.encoder, pair.step))
    return [each for each in (*pairs, config.gradient, config.prior) if each is not None]


def _read(folder: Path, file: str, *, most: int) -> bytes:
    """At most `most` + 1 bytes of a regular file; a FIFO would block, a device would not end."""
    path = folder / file
    try:
        with open(path, "rb", opener=open_nonblocking) as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise BundleError(f"{path} is not a regular file; copy the whole folder")
            return opened.read(min(most, found.st_size) + 1)
    except FileNotFoundError:
        raise BundleError(f"{path} is missing; expected a model folder with {file}") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error})") from None


def _read_json(folder: Path, file: str) -> tuple[bytes, Any]:
    """The bytes of a JSON file, and what they hold."""
    path = folder / file
    data = _read(folder, file, most=_MAX_JSON_BYTES)
    if len(data) > _MAX_JSON_BYTES:
        raise BundleError(
            f"{path} has more than {_MAX_JSON_BYTES:,} bytes, the limit; "
            "it is not a file of a model"
        )

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a JSON number")

    try:
        return data, json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON or bad UTF-8
        raise BundleError(f"{path} is not JSON ({error}); export the model again") from None


def _read_graph(folder: Path, entry: GraphFile) -> bytes:
    data = _read_hashed(folder, entry)
    path = folder / entry.file
    try:
        fault = next(graph_faults(data), None)
    except ValueError as error:
        raise BundleError(
            f"{path} is not an ONNX graph ({error}); export the model again"
        ) from None
    if fault is not None:
        raise BundleError(f"{path}: {fault}; only graphs as `mrnn-edge export` makes them are run")
    return data


def _read_hashed(folder: Path, entry: GraphFile | PriorFile) -> bytes:
    data = _read(folder, entry.file, most=entry.bytes)
    path = folder / entry.file
    if data.startswith(_LFS_POINTER):
        raise BundleError(f"{path} is a Git LFS pointer, not its content; run `git lfs pull`")
    if len(data) != entry.bytes:
        length = "longer" if len(data) > entry.bytes else "shorter"
        raise BundleError(
            f"{path} is {length} than config.json says, {entry.bytes:,} bytes; "
            "it is truncated or replaced: copy the folder again"
        )
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise BundleError(
            f"{path} has sha256 {found[:12]}…, config.json says {entry.sha256[:12]}…; "
            "it is damaged or replaced: copy the folder again"
        )
    return data
