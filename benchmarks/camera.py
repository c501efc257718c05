"""What watching a camera costs and how late it is, with the shipped model, against limits.

age      the 95th percentile of a caption's age, a source of 30 frames a second, decoding slowed to
         200 ms: at most one decode, one frame interval and 10 ms
still    1,000 frames of one scene with noise of sigma 4: captions, decodes skipped, CPU time as a
         ratio to the encoder's
grainy   the same with sigma 24, where every frame has to be encoded: the same ratio
cuts     a video of 21 scenes: the delay from each cut to its caption, captions in between
drawing  what overlay and recording take from the loop a frame of 1280 x 720; the CPU time of all
         threads is shown beside that of OpenCV's writer alone, which no drawing makes faster

Pictures come from a folder, which should hold 21 at least that the model describes differently.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rounds import Capture, noisy

from mrnn_edge import Captioner
from mrnn_edge.camera.capture import import_cv2
from mrnn_edge.camera.frames import Frame
from mrnn_edge.camera.live import LiveSource
from mrnn_edge.camera.scene import Scene, WatchOptions, reduce
from mrnn_edge.camera.watch import Watch, watch
from mrnn_edge.image.read import to_pixels
from mrnn_edge.language.captions import CaptionGenerator
from mrnn_edge_cli.webcam.overlay import Overlay
from mrnn_edge_cli.webcam.recording import Recording

RATE = 30.0
INTERVAL_S = 0.5


class Slowed(CaptionGenerator):
    """Decoding that takes 200 ms, as on a small board."""

    def decode(self, *arguments: Any) -> Any:
        start = time.perf_counter()
        found = super().decode(*arguments)
        time.sleep(max(0.0, 0.2 - (time.perf_counter() - start)))
        return found


class Ticking(Capture):
    """A capture that gives 30 frames a second by the clock, whatever the reader does."""

    def __init__(self, pictures: list[np.ndarray], *, hold: int) -> None:
        self._pictures = pictures
        self._hold = hold
        self._number = -1
        self._start = time.monotonic()

    def grab(self) -> bool:
        self._number += 1
        time.sleep(max(0.0, self._start + self._number / RATE - time.monotonic()))
        return True

    def retrieve(self) -> np.ndarray:
        return self._pictures[self._number // self._hold % len(self._pictures)]

    def rate(self) -> float:
        return RATE


def measure_age(captioner: Captioner, pictures: list[np.ndarray], *, captions: int) -> dict:
    """Ages of captions in milliseconds, and what one of them takes by itself."""
    slowed = Slowed(**vars(captioner.captions))
    scene = Scene(
        encode=captioner.graphs.encoder,
        captions=slowed,
        image=captioner.config.image,
        options=WatchOptions(interval_s=0.0),
        source="camera",
    )
    source = LiveSource("camera", lambda: Ticking(pictures, hold=17))
    events = []
    for event in watch(source, Watch(scene, interval_s=0.0)):
        events.append(event)
        if len(events) == captions + 1:
            break
    ages = [event.age_ms for event in events[1:]]
    decodes = [event.caption.timing_ms["total"] for event in events[1:]]
    p95, decode = float(np.percentile(ages, 95)), float(np.percentile(decodes, 95))
    limit = decode + 1000.0 / RATE + 10.0
    return {
        "captions": captions,
        "dropped": events[-1].dropped,
        "age_p50_ms": float(np.median(ages)),
        "age_p95_ms": p95,
        "decode_p95_ms": decode,
        "limit_ms": limit,
        "ratio_to_limit": p95 / limit,
    }


def measure_still(captioner: Captioner, picture: np.ndarray, *, frames: int, sigma: float) -> dict:
    """CPU time of watching a still scene and of the encoder alone, in turns of 50 frames."""
    random = np.random.default_rng(0)
    views = [noisy(picture, random, sigma=sigma)[..., ::-1] for _ in range(50)]
    scene = captioner.scene(WatchOptions(interval_s=0.0), source="still")
    watching = Watch(scene, interval_s=0.0)
    image = captioner.config.image
    pixels = [to_pixels(reduce(view, image), image)[None] for view in views]
    for each in pixels:
        captioner.graphs.encoder(each)  # warm
    spent = {"watch": 0.0, "encoder": 0.0}
    captions = 0
    for start in range(0, frames, len(views)):
        begun = time.process_time()
        for number, view in enumerate(views, start):
            frame = Frame(
                number=number, time_s=number / RATE, captured=time.monotonic(), pixels=view
            )
            captions += watching.see(frame) is not None
        spent["watch"] += time.process_time() - begun
        begun = time.process_time()
        for each in pixels:
            captioner.graphs.encoder(each)
        spent["encoder"] += time.process_time() - begun
    return {
        "frames": frames,
        "size": f"{picture.shape[1]} x {picture.shape[0]}",
        "captions": captions,
        "skipped_share": scene.skipped / frames,
        "cpu_ms_a_frame": spent["watch"] * 1000.0 / frames,
        "encoder_cpu_ms": spent["encoder"] * 1000.0 / frames,
        "ratio_to_encoder": spent["watch"] / spent["encoder"],
    }


def scenes(captioner: Captioner, pictures: list[np.ndarray], *, count: int) -> list[np.ndarray]:
    """Pictures of which no two neighbours have the same caption."""
    chosen: list[np.ndarray] = []
    before = None
    for picture in pictures:
        text = captioner.caption(np.ascontiguousarray(picture)).text
        if text != before:
            chosen.append(picture)
            before = text
        if len(chosen) == count:
            return chosen
    raise SystemExit(f"only {len(chosen)} scenes could be made; give more pictures")


def measure_cuts(captioner: Captioner, pictures: list[np.ndarray], *, cuts: int) -> dict:
    """Where captions come in a video whose cuts are known."""
    cv2 = import_cv2()
    random = np.random.default_rng(1)
    starts: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = str(Path(folder) / "cuts.mp4")
        writer = cv2.VideoWriter(clip, cv2.VideoWriter_fourcc(*"mp4v"), RATE, (640, 480))
        frames = 0
        for picture in scenes(captioner, pictures, count=cuts + 1):
            starts.append(frames)
            bgr = np.ascontiguousarray(picture[..., ::-1])
            for _ in range(int(random.integers(40, 90))):
                writer.write(noisy(bgr, random, sigma=4.0))
                frames += 1
        writer.release()
        events = list(captioner.watch(clip, interval=INTERVAL_S))
    delays, between = [], 0
    for start, end in zip(starts, [*starts[1:], frames], strict=True):
        inside = [event.frame for event in events if start <= event.frame < end]
        delays.append((inside[0] - start) / RATE if inside else math.inf)
        between += max(len(inside) - 1, 0)
    return {
        "cuts": cuts,
        "frames": frames,
        "interval_s": INTERVAL_S,
        "missed": sum(delay > INTERVAL_S for delay in delays[1:]),
        "longest_delay_s": max(delays[1:]),
        "captions_in_between": between,
    }


def measure_drawing(captioner: Captioner, picture: np.ndarray, *, frames: int) -> dict:
    """Milliseconds of the loop, and of all threads, that drawing and recording take a frame.

    Beside it, in turns of 50 frames, the time of OpenCV's writer alone on pictures drawn before.
    """
    cv2 = import_cv2()
    random = np.random.default_rng(2)
    views = [noisy(picture, random, sigma=2.0) for _ in range(30)]
    (event,) = captioner.watch([np.ascontiguousarray(picture)], interval=0.0)
    overlay = Overlay(explain=True)
    drawing, handing = [], []
    cpu = {"all": 0.0, "writer": 0.0}

    def drawn(number: int) -> np.ndarray:
        if number % 60 == 0:
            overlay.caption(event)
        if number % 8 == 0:
            overlay.status(f"{number} fps   caption 40 ms old   cpu")
        bgr = views[number % len(views)].copy()
        overlay.draw(bgr)
        return bgr

    before = [drawn(number) for number in range(len(views))]
    height, width = before[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path, bare = Path(folder) / "out.mp4", str(Path(folder) / "bare.mp4")
        source = SimpleNamespace(rate=RATE, live=True)
        recording = Recording(source, path, notice=typer.echo)
        writer = cv2.VideoWriter(bare, cv2.VideoWriter_fourcc(*"mp4v"), RATE, (width, height))
        for first in range(0, frames, 50):
            begun = time.process_time()
            for number in ticks(first, first + 50):
                start = time.perf_counter()
                bgr = drawn(number)
                after = time.perf_counter()
                recording.show(bgr, number / RATE)
                drawing.append(after - start)
                handing.append(time.perf_counter() - after)
            time.sleep(0.05)  # the encoder finishes the last one
            cpu["all"] += time.process_time() - begun
            begun = time.process_time()
            for number in ticks(first, first + 50):
                writer.write(before[number % len(before)])
            cpu["writer"] += time.process_time() - begun
        recording.close()
        writer.release()
        size = path.stat().st_size
    both = np.array(drawing) + np.array(handing)
    return {
        "frames": frames,
        "size": f"{width} x {height}",
        "draw_mean_ms": float(np.mean(drawing)) * 1000.0,
        "loop_mean_ms": float(both.mean()) * 1000.0,
        "loop_p95_ms": float(np.percentile(both, 95)) * 1000.0,
        "cpu_of_all_threads_ms": cpu["all"] * 1000.0 / frames,
        "cpu_of_writer_alone_ms": cpu["writer"] * 1000.0 / frames,
        "cpu_over_writer_ms": (cpu["all"] - cpu["writer"]) * 1000.0 / frames,
        "bytes": size,
    }


def ticks(first: int, end: int) -> Iterator[int]:
    """Numbers by the clock, as a camera gives frames: a loop at full speed would leave most out."""
    begun = time.perf_counter()
    for number in range(first, end):
        time.sleep(max(0.0, begun + (number - first) / RATE - time.perf_counter()))
        yield number


def read_pictures(folder: Path, *, size: tuple[int, int], count: int) -> list[np.ndarray]:
    paths = sorted(folder.glob("*.jpg"))[:count]
    if len(paths) < 2:
        raise SystemExit(f"{folder}: holds fewer than two JPEGs")
    return [np.asarray(Image.open(path).convert("RGB").resize(size)) for path in paths]


MET: dict[str, Callable[[dict], bool]] = {
    "age": lambda found: found["ratio_to_limit"] <= 1.0,
    "still": lambda found: (
        found["captions"] == 1
        and found["skipped_share"] >= 0.95
        and found["ratio_to_encoder"] <= 1.2
    ),
    "grainy": lambda found: found["ratio_to_encoder"] <= 1.2,
    "cuts": lambda found: found["missed"] == 0 and found["captions_in_between"] == 0,
    "drawing": lambda found: found["loop_mean_ms"] < 3.0 and found["cpu_over_writer_ms"] < 3.0,
}


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures, *.jpg.")],
    only: Annotated[list[str] | None, typer.Option("--only", help="A part; repeats.")] = None,
    captions: Annotated[int, typer.Option("--captions", min=10)] = 100,
    model: Annotated[str | None, typer.Option("--model")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
) -> None:
    """Measure the parts, one after the other, and end with 1 if a limit is passed."""
    captioner = Captioner.load(model, device="cpu", threads=threads)
    pictures = read_pictures(folder, size=(640, 480), count=200)
    large = read_pictures(folder, size=(1280, 720), count=2)
    bgr = pictures[0][..., ::-1].copy()

    def age() -> dict:
        two = [each[..., ::-1].copy()[..., ::-1] for each in scenes(captioner, pictures, count=2)]
        return measure_age(captioner, two, captions=captions)

    measures = {
        "age": age,
        "still": lambda: measure_still(captioner, bgr, frames=1000, sigma=4.0),
        "grainy": lambda: measure_still(captioner, bgr, frames=1000, sigma=24.0),
        "cuts": lambda: measure_cuts(captioner, pictures, cuts=20),
        "drawing": lambda: measure_drawing(captioner, large[0], frames=300),
    }
    found = {part: measures[part]() for part in only or MET}
    met = {part: MET[part](found[part]) for part in found}
    typer.echo(json.dumps({"model": captioner.config.name, **found, "met": met}, indent=2))
    sys.exit(not all(met.values()))


if __name__ == "__main__":
    typer.run(main)
