"""The int8 graphs beside the float ones: encoder and step, with one thread and with two.

Both are open at once and take turns over the same pictures, so that what else the machine does
falls on both. The aim is an int8 encoder in at most 0.85 of the float one's time without VNNI, 0.6
with it.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from mrnn_edge import Captioner, __version__
from mrnn_edge.config import Precision
from mrnn_edge.doctor.machine import processor
from mrnn_edge.image import read_pixels
from mrnn_edge.listing import list_files

WARM_UP = 10
STEP_ROWS = (1, 3, 5)


def ratio(contestants: dict[Precision, Callable[[], Any]], *, rounds: int) -> dict[str, float]:
    """Median milliseconds of each, taking turns, and int8's as a share of float32's."""
    spent: dict[Precision, list[float]] = {precision: [] for precision in contestants}
    for number in range(WARM_UP + rounds):
        for precision, run in contestants.items():
            start = time.perf_counter()
            run()
            if number >= WARM_UP:
                spent[precision].append((time.perf_counter() - start) * 1000.0)
    medians = {str(precision): float(np.median(each)) for precision, each in spent.items()}
    return {**medians, "ratio": medians[Precision.INT8] / medians[Precision.FLOAT32]}


def measure(model: str | None, files: list[str], *, threads: int, rounds: int) -> dict[str, Any]:
    """The ratios of encoder and step on so many threads."""
    captioners = {
        precision: Captioner.load(model, device="cpu", precision=precision, threads=threads)
        for precision in (Precision.FLOAT32, Precision.INT8)
    }
    spec = captioners[Precision.FLOAT32].config.image
    pictures = [read_pixels(file, spec)[None] for file in files]
    turn = dict.fromkeys(captioners, 0)

    def encode(precision: Precision) -> None:
        captioners[precision].graphs.encoder(pictures[turn[precision] % len(pictures)])
        turn[precision] += 1

    def step(precision: Precision, rows: int) -> Callable[[], Any]:
        captioner = captioners[precision]
        token = np.arange(3, 3 + rows)
        state = np.zeros((rows, captioner.space.state), np.float32)
        image = np.repeat(captioner.graphs.encoder(pictures[0]), rows, axis=0)
        return lambda: captioner.graphs.step(token, state, image)

    encoders = {precision: (lambda p=precision: encode(p)) for precision in captioners}
    return {
        "encoder_ms": ratio(encoders, rounds=rounds),
        "step_ms": {
            rows: ratio({each: step(each, rows) for each in captioners}, rounds=10 * rounds)
            for rows in STEP_ROWS
        },
    }


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures.")],
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 200,
    model: Annotated[str | None, typer.Option("--model")] = None,
) -> None:
    """Time both arithmetics in turn."""
    listed = list_files([os.fspath(folder)], recursive=True)
    files = [each for each in listed if isinstance(each, str)][:50]
    found = {f"{n} threads": measure(model, files, threads=n, rounds=rounds) for n in (1, 2)}
    report = {"mrnn-edge": __version__, "processor": processor().name, **found}
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
