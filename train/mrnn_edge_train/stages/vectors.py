"""The vectors of a frozen CNN for very many pictures: arrays on disk, read in place.

    FOLDER/names.json       the pictures' file names, in the order of the rows
    FOLDER/pooled.npy       float32 [N, D], the mean of the last maps
    FOLDER/pooled-mirrored.npy
    FOLDER/logits.npy       float32 [N, 1000], of the CNN's own classifier
    FOLDER/logits-mirrored.npy
    FOLDER/done.json        how many rows are computed

Computing may be stopped at any time and continues from there. Takes the CNN as a function.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.bundle.write import to_json
from mrnn_edge.errors import DatasetError
from mrnn_edge.files import write_whole
from mrnn_edge.image.read import read_pixels
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train.stages.features import FeatureTable, Vectors

Reader = Callable[[NDArray[np.uint8]], tuple[Vectors, Vectors]]
"""uint8 [B, H, W, 3] -> pooled float32 [B, D] and logits float32 [B, C]"""

CHUNK: Final = 64
"""Pictures between two flushes to disk."""
_BATCH: Final = 16
_ARRAYS: Final = ("pooled", "logits")
_NAMES, _DONE = "names.json", "done.json"


def compute(
    read: Reader,
    pictures: Sequence[Path],
    folder: Path,
    *,
    size: int,
    track: Track = untracked,
) -> None:
    """Compute the vectors of the pictures and their mirror images that a folder still lacks.

    Raises DatasetError if the folder belongs to other pictures, InputError for an unreadable one.
    """
    names = [path.name for path in pictures]
    done = _begin(folder, names)
    spec = ImageSpec(height=size, width=size)
    starts = range(done, len(pictures), CHUNK)
    for start in track(starts, "vectors", len(starts)):
        pixels = np.stack([read_pixels(path, spec) for path in pictures[start : start + CHUNK]])
        for suffix, seen in (("", pixels), ("-mirrored", pixels[:, :, ::-1])):
            found = [
                read(np.ascontiguousarray(seen[at : at + _BATCH]))
                for at in range(0, len(seen), _BATCH)
            ]
            for name, parts in zip(_ARRAYS, zip(*found, strict=True), strict=True):
                rows = np.concatenate(parts)
                array = _array(folder / f"{name}{suffix}.npy", len(names), rows.shape[1])
                array[start : start + len(rows)] = rows
                array.flush()
        write_whole(folder / _DONE, to_json({"rows": start + len(pixels)}))


def _begin(folder: Path, names: list[str]) -> int:
    """The number of rows computed so far."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _NAMES
    if not path.is_file():
        write_whole(path, to_json({"names": names}))
        return 0
    if json.loads(path.read_bytes())["names"] != names:
        raise DatasetError(f"{folder} holds vectors of other pictures; name another folder")
    done = folder / _DONE
    return int(json.loads(done.read_bytes())["rows"]) if done.is_file() else 0


def _array(path: Path, rows: int, columns: int) -> np.memmap:
    if path.is_file():
        return open_memmap(path, mode="r+")
    return open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, columns))


@dataclass(frozen=True, kw_only=True)
class VectorStore:
    """An open folder of vectors."""

    rows: Mapping[str, int]
    arrays: Mapping[str, Vectors]

    def table(self, names: Sequence[str], *, mirror: bool, classes: bool) -> FeatureTable:
        """The vectors of these pictures, in their order; `classes` adds ImageNet's probabilities.

        Raises DatasetError for a picture without a row.
        """
        missing = [name for name in names if name not in self.rows]
        if missing:
            raise DatasetError(f"no vectors of {', '.join(missing[:5])} ({len(missing)} missing)")
        order = np.array([self.rows[name] for name in names], np.int64)
        return FeatureTable(
            names=tuple(names),
            features=self._described(order, "", classes),
            mirrored=self._described(order, "-mirrored", classes) if mirror else None,
        )

    def logits(self, names: Sequence[str]) -> Vectors:
        """The classifier's logits of these pictures, float32 [N, C]."""
        found: Vectors = self.arrays["logits"][[self.rows[name] for name in names]]
        return found

    def _described(self, order: NDArray[np.int64], suffix: str, classes: bool) -> Vectors:
        pooled: Vectors = self.arrays[f"pooled{suffix}"][order]
        if not classes:
            return pooled
        return np.concatenate([pooled, softmax(self.arrays[f"logits{suffix}"][order])], axis=1)


def open_store(folder: Path) -> VectorStore:
    """Open a folder that `compute` has filled. Raises DatasetError if rows are missing."""
    try:
        names = json.loads((folder / _NAMES).read_bytes())["names"]
        done = json.loads((folder / _DONE).read_bytes())["rows"]
        arrays = {
            path.stem: np.load(path, mmap_mode="r", allow_pickle=False)
            for path in sorted(folder.glob("*.npy"))
        }
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{folder} holds no vectors ({error}); compute them first") from None
    if done != len(names):
        raise DatasetError(f"{folder} has {done} of {len(names)} rows; continue computing them")
    return VectorStore(rows={name: row for row, name in enumerate(names)}, arrays=arrays)


def softmax(logits: Vectors) -> Vectors:
    """Logits float32 [N, C] -> probabilities float32 [N, C]."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Vectors = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares
