"""What the change gate and the hysteresis stand on: one picture disturbed, against two pictures.

For each disturbance the cosine distance of image vectors, the share of pictures whose caption has
other words, and of these the share in which the old words are within so many bits of the new ones.
Tune on a development split.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageEnhance

from mrnn_edge import Captioner, DecodeOptions
from mrnn_edge.camera.scene import CUT, WatchOptions, cosine_distance, reduce
from mrnn_edge.config import ImageSpec
from mrnn_edge.constraints import Constraints
from mrnn_edge.decode import Hypothesis
from mrnn_edge.score import BITS_PER_NAT, path_log_probs

BITS = (1.0, 2.0, 3.0, 4.0, 6.0)
RANDOM = np.random.default_rng(0)


def noise(image: Image.Image, sigma: float) -> Image.Image:
    pixels = np.asarray(image) + RANDOM.normal(0.0, sigma, (image.height, image.width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def shifted(image: Image.Image, by: int) -> Image.Image:
    width, height = image.size
    return image.crop((by, 0, width, height - by)).resize(image.size)


def halved(image: Image.Image) -> Image.Image:
    """As the loop shrinks a frame of the double size before the bicubic filter."""
    spec = ImageSpec(height=image.height // 2, width=image.width // 2)
    return reduce(np.asarray(image), spec)


DISTURBANCES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "halved": halved,
    "noise 4": lambda image: noise(image, 4.0),
    "noise 8": lambda image: noise(image, 8.0),
    "noise 16": lambda image: noise(image, 16.0),
    "jpeg 50": lambda image: jpeg(image, 50),
    "jpeg 25": lambda image: jpeg(image, 25),
    "darker by 20 %": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "shifted by 4": lambda image: shifted(image, 4),
    "shifted by 12": lambda image: shifted(image, 12),
}


def decode(captioner: Captioner, vectors: np.ndarray) -> list[Hypothesis]:
    found = []
    for start in range(0, len(vectors), 50):
        block = vectors[start : start + 50]
        decoded = captioner.captions.decode(block, DecodeOptions(), Constraints())
        found += [each.hypotheses[0] for each in decoded]
    return found


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures, *.jpg.")],
    count: Annotated[int, typer.Option("--count", min=10)] = 200,
    model: Annotated[str | None, typer.Option("--model")] = None,
) -> None:
    """Print one line a disturbance, and one for pairs of different pictures."""
    captioner = Captioner.load(model, device="cpu")
    images = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))[:count]]
    vectors = np.stack([captioner.encode(image) for image in images])
    before = decode(captioner, vectors)
    defaults = WatchOptions()
    typer.echo(
        f"{len(images)} pictures; gate {defaults.change_threshold}, cut {CUT}, "
        f"hysteresis {defaults.hysteresis_bits} bits"
    )
    bits = "".join(f"{f'<={each:g}':>7}" for each in BITS)
    typer.echo(f"{'':18}{'p1':>7}{'p50':>7}{'p95':>7}{'p99':>7}{'words':>7}{bits}{'changes':>9}")
    others = {"another picture": np.roll(vectors, 1, axis=0)}
    for name, disturb in DISTURBANCES.items():
        others[name] = np.stack([captioner.encode(disturb(image)) for image in images])
    for name, disturbed in others.items():
        distances = np.array(
            [cosine_distance(a, b) for a, b in zip(vectors, disturbed, strict=True)]
        )
        after = decode(captioner, disturbed)
        step, space = captioner.graphs.step, captioner.space
        standing = [
            path_log_probs(step, vector, [old], space)[0].sum()
            for old, vector in zip(before, disturbed, strict=True)
        ]
        gains = (np.array([new.log_prob for new in after]) - np.array(standing)) * BITS_PER_NAT
        other = np.array([a.tokens != b.tokens for a, b in zip(before, after, strict=True)])
        within = [float((gains[other] <= most).mean()) if other.any() else 1.0 for most in BITS]
        # What a person would see: another caption, past gate and hysteresis.
        changes = other & (distances >= defaults.change_threshold)
        changes &= (distances >= CUT) | (gains > defaults.hysteresis_bits)
        figures = [*np.percentile(distances, [1, 50, 95, 99]), other.mean(), *within]
        shown = "".join(f"{each:7.3f}" for each in figures)
        typer.echo(f"{name:18}{shown}{changes.mean():9.3f}")


if __name__ == "__main__":
    typer.run(main)
