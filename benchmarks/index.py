"""Pictures a second of a new index against those of the encoder alone, on this machine.

The two take turns, chunk by chunk, so that what else the machine does falls on both. The encoder
gets ready pixels, at the batch that is fastest for it here; the index reads, hashes, decodes,
encodes and writes.
"""

import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rounds import milliseconds, pictures_in

from mrnn_edge import Captioner, Index, __version__
from mrnn_edge.image.read import Pixels, read_pixels

BATCHES = (1, 8, 16, 32, 64)


def encode(captioner: Captioner, pixels: Pixels, batch: int) -> float:
    """Seconds for all pictures, `batch` a call."""
    start = time.perf_counter()
    for at in range(0, len(pixels), batch):
        captioner.graphs.encoder(pixels[at : at + batch])
    return time.perf_counter() - start


def best_batch(captioner: Captioner, pixels: Pixels, rounds: int) -> int:
    """The batch at which the encoder alone is fastest, by its best round."""
    seconds = {batch: float("inf") for batch in BATCHES}
    for _ in range(rounds):
        for batch in BATCHES:
            seconds[batch] = min(seconds[batch], encode(captioner, pixels, batch))
    return min(seconds, key=lambda batch: seconds[batch])


def measure(captioner: Captioner, files: list[str], chunk: int) -> dict[str, Any]:
    """Build an index of each chunk of files, the encoder alone before each."""
    warm = np.stack([read_pixels(file, captioner.config.image) for file in files[:128]])
    batch = best_batch(captioner, warm, rounds=3)
    encoder, index, unchanged, decode = 0.0, 0.0, 0.0, 0.0
    for at in range(0, len(files), chunk):
        part = files[at : at + chunk]
        start = time.perf_counter()
        pixels = np.stack([read_pixels(file, captioner.config.image) for file in part])
        decode += time.perf_counter() - start
        encoder += encode(captioner, pixels, batch)
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
            for file in part:
                os.symlink(os.path.abspath(file), Path(folder) / os.path.basename(file))
            build = partial(Index.build, captioner, Path(folder), Path(out) / "index")
            index += milliseconds(build) / 1000
            unchanged += milliseconds(build) / 1000
    return {
        "pictures": len(files),
        "encoder_batch": batch,
        "decode_ms": decode * 1000 / len(files),
        "encoder_per_second": len(files) / encoder,
        "index_per_second": len(files) / index,
        "unchanged_per_second": len(files) / unchanged,
        "ratio": encoder / index,
    }


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures, different ones.")],
    pictures: Annotated[int, typer.Option("--pictures", min=1)] = 2048,
    chunk: Annotated[int, typer.Option("--chunk", min=1)] = 512,
    model: Annotated[str | None, typer.Option("--model")] = None,
    device: Annotated[str, typer.Option("--device")] = "cpu",
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
) -> None:
    """Time new indexes and the encoder alone."""
    captioner = Captioner.load(model, device=device, threads=threads)
    files = pictures_in(folder, pictures)
    report = {
        "mrnn-edge": __version__,
        "model": captioner.config.name,
        "device": str(captioner.device),
        "precision": str(captioner.precision),
        "threads": threads,
        **measure(captioner, files, chunk),
    }
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
