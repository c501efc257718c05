"""Memory, threads and file descriptors over many frames: a live source, a scene, a film.

A fake camera gives frames as fast as it is read, and is unplugged every 5,000 of them; one in a
hundred shows another picture. The model is a real one, so most frames are dropped on the live path;
the second path looks at every frame, with an encoder that only takes means. The third is the view
of the command on a live source, drawn on and recorded without a window, 640 x 480.
"""

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rounds import Capture, noisy

from mrnn_edge import Captioner
from mrnn_edge.camera.frames import Frame, ReconnectPolicy
from mrnn_edge.camera.live import LiveSource
from mrnn_edge.camera.scene import Scene, WatchOptions
from mrnn_edge.camera.watch import TICK_S, Watch
from mrnn_edge_cli.webcam.recording import Recording
from mrnn_edge_cli.webcam.view import View

LIMIT_BYTES = 1 << 20
"""Growth a 10,000 frames."""
PLUGGED = 5000
"""Frames until the camera is unplugged."""


class FakeCapture(Capture):
    """Frames of noise at full speed, then none."""

    def __init__(self, pictures: list[np.ndarray], *, pause_s: float = 0.0005) -> None:
        """Without a pause the reader would keep the lock of Python for itself."""
        self._pictures = pictures
        self._pause_s = pause_s
        self._number = -1

    def grab(self) -> bool:
        self._number += 1
        time.sleep(self._pause_s)
        return self._number < PLUGGED

    def retrieve(self) -> np.ndarray:
        return self._pictures[self._number // 100 % len(self._pictures)].copy()


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Samples:
    """Resident memory, threads and descriptors by the number of frames."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._next = 0
        self.rows: list[tuple[int, int, int, int]] = []

    def at(self, frames: int) -> None:
        if frames < self._next:
            return
        self._next = frames + self._every
        descriptors = len(os.listdir("/proc/self/fd"))
        self.rows.append((frames, resident_bytes(), threading.active_count(), descriptors))

    def report(self, *, warm_up: int) -> dict:
        rows = np.array([row for row in self.rows if row[0] >= warm_up])
        slope = float(np.polyfit(rows[:, 0], rows[:, 1], 1)[0]) * 10_000
        return {
            "frames": int(rows[-1, 0]),
            "bytes_a_10000_frames": round(slope),
            "resident_mb": round(float(rows[-1, 1]) / 1e6, 1),
            "threads": [int(rows[:, 2].min()), int(rows[:, 2].max())],
            "descriptors": [int(rows[:, 3].min()), int(rows[:, 3].max())],
            "met": slope < LIMIT_BYTES
            and rows[:, 2].max() - rows[:, 2].min() <= 1  # a thread between two connections
            and rows[:, 3].max() == rows[:, 3].min(),
        }


def soak_live(captioner: Captioner, pictures: list[np.ndarray], *, frames: int) -> dict:
    policy = ReconnectPolicy(pauses_s=(0.001,))
    source = LiveSource("fake", lambda: FakeCapture(pictures), policy=policy)
    watching = Watch(captioner.scene(WatchOptions(interval_s=0.0), source="fake"), interval_s=0.0)
    samples = Samples(every=frames // 100)
    captions = 0
    for frame in source.frames(tick=TICK_S):
        if frame is None:
            continue
        samples.at(frame.number)
        captions += watching.see(frame) is not None
        if frame.number >= frames:
            break
    source.close()
    return {**samples.report(warm_up=frames // 10), "captions": captions}


def soak_looks(captioner: Captioner, pictures: list[np.ndarray], *, frames: int) -> dict:
    matrix = np.random.default_rng(1).normal(0, 1, (3, captioner.config.sizes.image))

    def means(pixels: np.ndarray) -> np.ndarray:
        return ((pixels.mean(axis=(1, 2)) - 127.0) @ matrix / 64.0).astype(np.float32)

    scene = Scene(
        encode=means,
        captions=captioner.captions,
        image=captioner.config.image,
        options=WatchOptions(interval_s=0.0),
        source="fake",
    )
    watching = Watch(scene, interval_s=0.0)
    samples = Samples(every=frames // 100)
    captions = 0
    for number in range(frames):
        picture = pictures[number // 1000 % len(pictures)].copy()
        captured = time.monotonic()
        frame = Frame(number=number, time_s=number / 30.0, captured=captured, pixels=picture)
        captions += watching.see(frame) is not None
        samples.at(number)
    return {**samples.report(warm_up=frames // 10), "captions": captions}


class Film(Recording):
    """A recording that samples by the frames that it was shown."""

    samples: Samples
    shown = 0

    def show(self, bgr: np.ndarray, time_s: float) -> None:
        super().show(bgr, time_s)
        self.shown += 1
        self.samples.at(self.shown)


def soak_view(captioner: Captioner, pictures: list[np.ndarray], *, frames: int) -> dict:
    policy = ReconnectPolicy(pauses_s=(0.001,))
    large = [np.kron(each, np.ones((5, 5, 1), np.uint8)) for each in pictures]
    source = LiveSource("fake", lambda: FakeCapture(large, pause_s=1 / 120), policy=policy)
    scene = captioner.scene(WatchOptions(interval_s=0.5), source="fake")
    with tempfile.TemporaryDirectory() as folder:
        film = Film(
            source, Path(folder) / "film.mkv", notice=lambda text: typer.echo(text, err=True)
        )
        film.samples = Samples(every=frames // 100)
        view = View(
            source,
            Watch(scene, interval_s=0.5),
            device="cpu",
            explain=True,
            window=None,
            recording=film,
            window_lost=typer.echo,
            stop=lambda: film.shown >= frames,
        )
        captions = sum(1 for _ in view.events())
        film.close()
        failed, size = film.failed, (Path(folder) / "film.mkv").stat().st_size
    report = film.samples.report(warm_up=frames // 5)
    return {**report, "met": report["met"] and not failed, "captions": captions, "bytes": size}


def main(
    frames: Annotated[int, typer.Option("--frames", min=1000)] = 100_000,
    shown: Annotated[int, typer.Option("--shown", min=1000, help="Frames of the film.")] = 10_000,
    model: Annotated[str | None, typer.Option("--model")] = None,
) -> None:
    """Run the paths and end with 1 if memory grows or threads or descriptors are left behind."""
    captioner = Captioner.load(model, device="cpu")
    random = np.random.default_rng(0)
    plain = [random.normal(127, 90, 3) + np.zeros((96, 128, 3)) for _ in range(20)]
    pictures = [noisy(each, random, sigma=20.0) for each in plain]
    report = {
        "model": captioner.config.name,
        "live": soak_live(captioner, pictures, frames=frames),
        "every_frame": soak_looks(captioner, pictures, frames=frames),
        "film": soak_view(captioner, pictures, frames=shown),
    }
    typer.echo(json.dumps(report, indent=2, default=bool))
    sys.exit(not all(report[path]["met"] for path in ("live", "every_frame", "film")))


if __name__ == "__main__":
    typer.run(main)
