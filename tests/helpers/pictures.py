"""Generated pictures, and their files, for the tests of what is read."""

import io

import numpy as np
from PIL import Image


def gradient(width: int = 40, height: int = 24) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    planes = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=2)
    return Image.fromarray(planes.astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo() -> Image.Image:
    """A picture with detail everywhere, so that every share of its file holds some of it."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    return Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC)


def slope() -> np.ndarray:
    y, x = np.mgrid[:24, :40]
    return np.stack([x * 6, y * 10, np.full_like(x, 60)], axis=2)
