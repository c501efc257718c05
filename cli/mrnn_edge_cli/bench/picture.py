"""The pictures that are timed: the bytes of files, or of one that is made here."""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from mrnn_edge.bulk.listing import Listed, list_files
from mrnn_edge.errors import FileError, OptionError

_WIDTH, _HEIGHT = 600, 400
MAX_PICTURES: Final = 100
"""The first ones of a folder: all of them are held in memory."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The bytes of at least one picture file, and what stands for them in a record."""

    name: str
    """Two records are of the same pictures where this is equal."""
    files: tuple[bytes, ...]


def built_in() -> Pictures:
    """A JPEG of 600 x 400, as a photo in size and detail: sky, hills, a field, grain.

    Some 45 kB: decoding it takes 3.4 ms, docs/pictures/coffee.jpg, a photo of that size, 3.6.
    """
    random = np.random.default_rng(20141001)
    y, x = np.mgrid[:_HEIGHT, :_WIDTH].astype(np.float64)
    ridge = 180 + 40 * np.sin(x / 70) + 15 * np.sin(x / 17 + 1)
    sky = np.stack([90 + y / 3, 140 + y / 4, np.full_like(y, 225)], axis=2)
    field = np.stack([70 + y / 8, 95 + y / 5 + 12 * np.sin(y / 3), 40 + y / 12], axis=2)
    pixels = np.where((y < ridge)[:, :, None], sky, field)
    # Grain of two sizes: leaves and grass, and the noise of a sensor.
    coarse = random.normal(0, 1, (_HEIGHT // 4, _WIDTH // 4)).repeat(4, axis=0).repeat(4, axis=1)
    pixels += np.where(y < ridge, 2.0, 14.0)[:, :, None] * coarse[:, :, None]
    pixels += random.normal(0, 5, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    # Named, not hashed: another libjpeg writes other bytes of the same picture.
    return Pictures(name=f"built-in picture, {_WIDTH} x {_HEIGHT}", files=(buffer.getvalue(),))


def read_pictures(path: str) -> Pictures:
    """A picture file, or those below a folder, the first 100 in byte order of their paths.

    Raises FileError for one that cannot be read, OptionError for a folder without pictures.
    """
    files = [_read(each) for each in islice(list_files([path], recursive=True), MAX_PICTURES)]
    if not files:
        raise OptionError(f"{path} holds no picture; name one, or leave it out")
    return Pictures(name=_name(path, files), files=tuple(files))


def _read(listed: Listed) -> bytes:
    if not isinstance(listed, str):
        raise FileError(listed.failure or listed.file)
    try:
        return Path(listed).read_bytes()
    except OSError as error:
        raise FileError(f"{listed} cannot be read ({error}); check its path and mode") from None


def _name(path: str, files: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for data in files:
        digest.update(hashlib.sha256(data).digest())
    # Only the file's own name: its folder may be private.
    name = os.path.basename(os.path.abspath(path))
    count = f", {len(files)} pictures" if len(files) > 1 else ""
    return f"{name}{count}, sha256 {digest.hexdigest()[:12]}"
