"""Tables of CNN vectors of pictures and their mirror images, computed once and kept in a file.

A table is an .npz with `names` (file names), `features` float32 [N, D] and, optionally,
`mirrored` float32 [N, D]. A file from another program can serve as the encoder.
Takes the CNN as a function; knows no sentences.
"""

import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import DatasetError, InputError
from mrnn_edge.files import write_whole
from mrnn_edge.image.read import read_pixels
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train.data.common import CaptionedImage, complain_of_unreadable

Vectors = NDArray[np.float32]
Encoder = Callable[[torch.Tensor], torch.Tensor]
"""uint8 [B, H, W, 3] on the CPU -> float32 [B, D] on any device"""

_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """CNN vectors by file name."""

    names: tuple[str, ...]
    features: Vectors
    mirrored: Vectors | None

    def rows(self, images: Sequence[CaptionedImage]) -> "FeatureTable":
        """The table of these pictures, in their order. Raises DatasetError if one is missing."""
        row = {name: index for index, name in enumerate(self.names)}
        missing = [image.name for image in images if image.name not in row]
        if missing:
            raise DatasetError(
                f"the feature table has {len(row)} pictures but not {', '.join(missing[:5])}"
                f" ({len(missing)} missing); compute it for the whole data set"
            )
        order = [row[image.name] for image in images]
        return FeatureTable(
            names=tuple(image.name for image in images),
            features=self.features[order],
            mirrored=None if self.mirrored is None else self.mirrored[order],
        )


def compute_table(
    encoder: Encoder,
    images: Sequence[CaptionedImage],
    *,
    size: int,
    mirror: bool,
    spared: int = 0,
    track: Track = untracked,
) -> FeatureTable:
    """Run the CNN over the pictures, `size` pixels square, and their mirror images if requested.

    Up to `spared` unreadable pictures have no row. Raises DatasetError, with the first reasons, for
    more of them and if none can be read.
    """
    spec = ImageSpec(height=size, width=size)
    names: list[str] = []
    features, mirrored, failures = [], [], []
    starts = range(0, len(images), _BATCH)
    for start in track(starts, "features", len(starts)):
        pixels = []
        for image in images[start : start + _BATCH]:
            try:
                pixels.append(read_pixels(image.path, spec))
            except InputError as error:
                failures.append(error)
            else:
                names.append(image.name)
        if pixels:
            stacked = np.stack(pixels)
            features.append(_run(encoder, stacked))
            if mirror:
                mirrored.append(_run(encoder, stacked[:, :, ::-1]))
    if not features:
        raise DatasetError(f"none of {len(images)} pictures can be read: {failures[0]}")
    complain_of_unreadable(failures, len(images), allowed=spared)
    return FeatureTable(
        names=tuple(names),
        features=np.concatenate(features),
        mirrored=np.concatenate(mirrored) if mirror else None,
    )


@torch.inference_mode()
def _run(encoder: Encoder, pixels: NDArray[np.uint8]) -> Vectors:
    vectors: Vectors = encoder(torch.from_numpy(np.ascontiguousarray(pixels))).cpu().numpy()
    return vectors


def read_table(path: Path) -> FeatureTable:
    """Read a table. Raises DatasetError if it cannot be read or its shapes do not match."""
    try:
        # From memory: numpy does not close a damaged file.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read as a feature table ({error})") from None
    if not {"names", "features"} <= arrays.keys():
        raise DatasetError(f"{path}: has {sorted(arrays)}, expected names, features and mirrored")
    names, features = arrays["names"], arrays["features"]
    mirrored = arrays.get("mirrored")
    if names.ndim != 1 or features.ndim != 2 or len(names) != len(features):
        raise DatasetError(
            f"{path}: features is {list(features.shape)} for names {list(names.shape)}, "
            "expected [N, D] for [N]"
        )
    if mirrored is not None and mirrored.shape != features.shape:
        raise DatasetError(
            f"{path}: mirrored is {list(mirrored.shape)}, features {list(features.shape)}"
        )
    for key, array in (("features", features), ("mirrored", mirrored)):
        if array is None:
            continue
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise DatasetError(f"{path}: {key} holds {array.dtype}, expected finite numbers")
    return FeatureTable(
        names=tuple(str(name) for name in names),
        features=features.astype(np.float32, copy=False),
        mirrored=None if mirrored is None else mirrored.astype(np.float32, copy=False),
    )


def write_table(path: Path, table: FeatureTable) -> None:
    """Write a table atomically."""
    arrays: dict[str, NDArray[np.generic]] = {
        "names": np.array(table.names),
        "features": table.features,
    }
    if table.mirrored is not None:
        arrays["mirrored"] = table.mirrored
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_whole(path, buffer.getvalue())


def table_key(
    encoder: str,
    size: int,
    images: Sequence[CaptionedImage],
    *,
    mirror: bool,
    device: torch.device,
) -> str:
    """A file name for the cache; depends on the CNN, the size, and all names and bytes of pictures.

    Also on the kind of device, so that no GPU's vectors enter a run on the CPU.
    """
    kind = "" if device.type == "cpu" else f" {device.type}"
    digest = hashlib.sha256(f"{encoder} {size} {mirror} 3{kind}\n".encode())
    for image in images:
        digest.update(
            image.name.encode() + b"\0" + hashlib.sha256(image.path.read_bytes()).digest()
        )
    return f"{encoder}-{size}-{digest.hexdigest()[:16]}.npz"
