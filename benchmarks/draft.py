"""Captions of full-size JPEGs decoded small against captions of the same files decoded in full.

Takes a folder of small pictures. Each is enlarged to 12 megapixels (Lanczos), given noise if
`--noise` says so, and written as JPEG, in a folder that goes again. The file is decoded in full, in
full without the reducing gap of the resize, and as mrnn-edge does; with `--factor N` also at the
smallest scale of the DCT that is N times the model's size. How many captions are those of full
decoding, how far the pixels lie apart, how long the decoding takes; with `--data`, which takes dev
pictures of a data set in place of a folder's, the CIDEr of each way's captions.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image, ImageChops

from mrnn_edge import Captioner
from mrnn_edge.image import DRAFT, Pixels, load_image, read_pixels, to_pixels
from mrnn_edge.listing import list_files
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.flickr8k import Split, read_split
from mrnn_edge_train.metrics import cider_each

SIZE = (4000, 3000)
MIDDLE = 20


def grain(deviation: float) -> Image.Image:
    """Noise about MIDDLE, as large as the pictures are made."""
    noise = np.random.default_rng(0).normal(MIDDLE, deviation, (*SIZE[::-1], 3))
    return Image.fromarray(np.clip(np.rint(noise), 0, 255).astype(np.uint8))


def enlarge(picture: Path, target: Path, noise: Image.Image, seed: int) -> None:
    """Write a picture of 12 megapixels, with the noise moved by the seed."""
    large = Image.open(picture).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
    moved = ImageChops.offset(noise, seed * 911, seed * 577)
    ImageChops.add(large, moved, 1.0, -MIDDLE).save(target, quality=90)


def drafted(file: Path, captioner: Captioner, factor: int) -> Pixels:
    """What Pillow gives where it may decode down to `factor` times the model's size."""
    spec = captioner.config.image
    with Image.open(file) as image:
        image.draft(None, (factor * spec.width, factor * spec.height))
        image.load()
        return to_pixels(image, spec)


def without_gap(file: Path, captioner: Captioner) -> Pixels:
    """The picture decoded in full and resized at once: what the reducing gap itself changes."""
    size = (captioner.config.image.width, captioner.config.image.height)
    return np.asarray(load_image(file).resize(size, Image.Resampling.BICUBIC))


def compare(
    captioner: Captioner,
    pictures: Sequence[Path],
    factors: Sequence[int],
    deviation: float,
    references: Sequence[Sequence[Sequence[str]]],
) -> dict[str, Any]:
    """Same captions, distance of the pixels, milliseconds and, where there are references, CIDEr,
    by the way of decoding."""
    spec = captioner.config.image
    ways: dict[str, Callable[[Path], Pixels]] = {
        "full": lambda file: to_pixels(load_image(file), spec),
        "full, no reducing gap": lambda file: without_gap(file, captioner),
        "read_pixels": lambda file: read_pixels(file, spec),
    }
    for factor in factors:
        ways[f"draft_{factor}"] = lambda file, factor=factor: drafted(file, captioner, factor)
    spent: dict[str, list[float]] = {way: [] for way in ways}
    said: dict[str, list[str]] = {way: [] for way in ways}
    apart: dict[str, list[float]] = {way: [] for way in ways}
    noise = grain(deviation)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.jpg"
        for seed, picture in enumerate(pictures):
            enlarge(picture, file, noise, seed)
            found = {}
            for way, read in ways.items():
                start = time.perf_counter()
                found[way] = read(file)
                spent[way].append((time.perf_counter() - start) * 1000.0)
                said[way].append(captioner.caption(found[way]).text or "")
            for way in ways:
                apart[way].append(
                    float(np.abs(found[way].astype(int) - found["full"].astype(int)).mean())
                )
    report: dict[str, Any] = {}
    for way in ways:
        report[way] = {
            "same": sum(map(str.__eq__, said[way], said["full"])),
            "mean_difference": round(statistics.mean(apart[way]), 3),
            "decode_ms": round(statistics.median(spent[way]), 1),
        }
        if references:
            scores = cider_each(references, [tokenize(text) for text in said[way]])
            report[way]["cider"] = round(statistics.mean(scores), 4)
    return report


def main(
    pictures: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Small pictures.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="In its place: a data set.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="So many of them.")] = 200,
    noise: Annotated[float, typer.Option("--noise", help="Its deviation, of 255.")] = 0.0,
    factor: Annotated[list[int] | None, typer.Option("--factor", min=1)] = None,
    model: Annotated[str | None, typer.Option("--model")] = None,
    precision: Annotated[str | None, typer.Option("--precision")] = None,
) -> None:
    """Compare decoding in full with Pillow's draft mode."""
    if (pictures is None) is (data is None):
        raise typer.BadParameter("expected a folder or --data, one of them")
    captioner = Captioner.load(model, device="cpu", precision=precision)
    references = []
    if data is not None:
        images = read_split(data, Split.DEV)
        images = images[:: max(1, len(images) // count)][:count]
        chosen, references = [each.path for each in images], [each.sentences for each in images]
    else:
        files = [Path(str(file)) for file in list_files([str(pictures)], recursive=True)]
        chosen = files[:: max(1, len(files) // count)][:count]
    ways = compare(captioner, chosen, factor or [], noise, references)
    report = {
        "model": captioner.config.name,
        "precision": str(captioner.precision),
        "pictures": len(chosen),
        "factor": DRAFT,
        "noise": noise,
        **ways,
    }
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
