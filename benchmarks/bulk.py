"""Pictures a second of a bulk run against decoding and encoding alone, on this machine.

Three take turns, chunk by chunk, so that what else the machine does falls on all: the pictures read
and resized with as many threads as cores; the encoder over ready pixels, at the batch that is
fastest for it here; and `caption_files`, the same pictures to captions with confidence.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from index import best_batch, encode
from rounds import pictures_in

from mrnn_edge import Captioner, __version__
from mrnn_edge.bulk.run import batch_size, caption_files
from mrnn_edge.image.read import Pixels, read_pixels
from mrnn_edge.options import DecodeOptions


def decode(captioner: Captioner, files: list[str]) -> tuple[float, Pixels]:
    """Seconds to read all, and their pixels."""
    spec = captioner.config.image
    start = time.perf_counter()
    with ThreadPoolExecutor(captioner.graphs.threads) as pool:
        pixels = list(pool.map(lambda file: read_pixels(file, spec), files))
    return time.perf_counter() - start, np.stack(pixels)


def caption(captioner: Captioner, files: list[str]) -> float:
    """Seconds for all captions."""
    start = time.perf_counter()
    for outcome in caption_files(captioner, files, DecodeOptions()):
        if outcome.failure is not None:
            raise SystemExit(outcome.failure)
    return time.perf_counter() - start


def measure(model: str | None, threads: int | None, files: list[str], chunk: int) -> dict[str, Any]:
    """Seconds of each, summed over the chunks."""
    alone = Captioner.load(model, device="cpu", threads=threads)
    bulk = Captioner.load(model, device="cpu", threads=threads, concurrency=alone.graphs.threads)
    _, warm = decode(alone, files[:128])
    batch = best_batch(alone, warm, rounds=3)
    caption(bulk, files[: 4 * batch_size(bulk)])
    spent = {"decode": 0.0, "encode": 0.0, "caption": 0.0}
    for at in range(0, len(files), chunk):
        part = files[at : at + chunk]
        seconds, pixels = decode(alone, part)
        spent["decode"] += seconds
        spent["encode"] += encode(alone, pixels, batch)
        spent["caption"] += caption(bulk, part)
    rates = {f"{name}_per_second": len(files) / seconds for name, seconds in spent.items()}
    return {
        "model": alone.config.name,
        "threads": alone.graphs.threads,
        "pictures": len(files),
        "encoder_batch": batch,
        "batch": batch_size(bulk),
        **rates,
        "ratio": max(spent["decode"], spent["encode"]) / spent["caption"],
    }


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures, different ones.")],
    pictures: Annotated[int, typer.Option("--pictures", min=1)] = 1024,
    chunk: Annotated[int, typer.Option("--chunk", min=1)] = 128,
    model: Annotated[str | None, typer.Option("--model")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
) -> None:
    """Time a bulk run, and the two parts of it that take longest, alone."""
    files = pictures_in(folder, pictures)
    report = {"mrnn-edge": __version__, **measure(model, threads, files, chunk)}
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
