"""What a warm caption costs over the encoder alone, greedily and with a beam, on this machine.

Pixels of the model's size in, the record with confidence out. For each picture the encoder, a
greedy caption and one of a beam take turns, so that what else the machine does falls on all.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rounds import in_turns, pictures_in

from mrnn_edge import Captioner, __version__
from mrnn_edge.image.read import Pixels, read_pixels

WARM_UP = 10


def measure(
    captioner: Captioner, pictures: list[Pixels], *, rounds: int, beam: int
) -> dict[str, list[float]]:
    """Milliseconds of each, a number a picture and round."""
    contestants: dict[str, Callable[[Pixels], object]] = {
        "encoder": lambda pixels: captioner.graphs.encoder(pixels[None]),
        "greedy": lambda pixels: captioner.caption(pixels, beam=1),
        f"beam {beam}": lambda pixels: captioner.caption(pixels, beam=beam),
    }
    warm_up = pictures[:WARM_UP]
    return in_turns(contestants, warm_up + pictures * rounds, warm_up=len(warm_up))


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures, different ones.")],
    pictures: Annotated[int, typer.Option("--pictures", min=1)] = 50,
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 10,
    beam: Annotated[int, typer.Option("--beam", min=2)] = 5,
    model: Annotated[str | None, typer.Option("--model")] = None,
    precision: Annotated[str | None, typer.Option("--precision")] = None,
    device: Annotated[str, typer.Option("--device")] = "cpu",
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Time captions against the encoder."""
    captioner = Captioner.load(model, device=device, precision=precision, threads=threads)
    files = pictures_in(folder, pictures)
    spec = captioner.config.image
    spent = measure(
        captioner, [read_pixels(file, spec) for file in files], rounds=rounds, beam=beam
    )
    encoder = float(np.median(spent["encoder"]))
    report = {
        "mrnn-edge": __version__,
        "model": captioner.config.name,
        "precision": str(captioner.precision),
        "device": str(captioner.device),
        "threads": captioner.graphs.threads,
        "pictures": len(files),
        "rounds": rounds,
        "median_ms": {name: float(np.median(each)) for name, each in spent.items()},
        "ratio_to_encoder": {
            name: float(np.median(each)) / encoder for name, each in spent.items()
        },
    }
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    typer.echo(
        f"{report['model']} {report['precision']} on {report['device']}, {report['threads']} "
        f"threads, {len(files)} pictures, {rounds} rounds"
    )
    typer.echo(f"{'':10}{'median ms':>12}{'p95 ms':>10}{'x encoder':>12}")
    for name, each in spent.items():
        median = float(np.median(each))
        p95 = float(np.percentile(each, 95))
        typer.echo(f"{name:10}{median:12.2f}{p95:10.2f}{median / encoder:12.3f}")


if __name__ == "__main__":
    typer.run(main)
