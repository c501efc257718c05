"""Videos that tests write: scenes of one colour each, which the tiny model tells apart."""

import json
from pathlib import Path

import cv2
import numpy as np

RED, BLUE, GREEN = (250, 5, 5), (5, 5, 250), (5, 250, 5)


def write_video(
    path: Path,
    scenes: list[tuple[tuple[int, int, int], int]],
    *,
    rate: float = 10.0,
    size: tuple[int, int] = (64, 48),
    codec: str = "mp4v",
) -> Path:
    """Scenes of (colour as RGB, frames), one after the other."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size)
    assert writer.isOpened()
    for colour, frames in scenes:
        picture = np.full((size[1], size[0], 3), colour[::-1], np.uint8)
        for _ in range(frames):
            writer.write(picture)
    writer.release()
    return path


def read_video(path: Path) -> list[np.ndarray]:
    """All frames of a video, RGB."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        done, image = capture.read()
        if not done:
            return frames
        frames.append(image[..., ::-1])


def records(text: str) -> list[dict]:
    """The records of an NDJSON."""
    return [json.loads(line) for line in text.splitlines()]
