"""What a confidence is worth: against CIDEr, against swapped pictures, on pictures of nothing.

Captions a split, and prints three tables and draws two of them:

    by confidence, in tenths of the captions     their mean CIDEr
    by confidence, right and swapped pictures    the share of right ones among equal numbers of both
    pictures of nothing                          what the model says, and how sure it is

Of the last, noise, plain ones and slopes are of kinds that training shows (nothing.py), though not
these very ones; the patterns, the blurred picture and the one cut up are not.
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mrnn_edge import Caption, Captioner
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.common import CaptionedImage, Split
from mrnn_edge_train.data.flickr8k import read_split
from mrnn_edge_train.evaluation.metrics import cider_each

EDGES = (-np.inf, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, np.inf)
SEED = 0
TEMPLE = Path(__file__).parent.parent / "docs" / "pictures" / "temple.jpg"


def caption_all(captioner: Captioner, images: tuple[CaptionedImage, ...]) -> list[Caption]:
    """The captions of a split."""
    return [captioner.caption(image.path) for image in images]


def swapped(
    captioner: Captioner, images: tuple[CaptionedImage, ...], captions: list[Caption]
) -> NDArray[np.float64]:
    """The confidence of each caption for another picture of the split, drawn once."""
    shift = int(np.random.default_rng(SEED).integers(1, len(images)))
    other = images[shift:] + images[:shift]
    return np.array(
        [
            captioner.score(image.path, [caption.text or ""], prior="mean")[0].confidence
            for image, caption in zip(other, captions, strict=True)
        ]
    )


def pictures_of_nothing(side: int) -> dict[str, NDArray[np.uint8]]:
    """Pictures that no sentence is right for, of `side` pixels, a multiple of 28.

    Raises ValueError for another side.
    """
    if side % 28:
        raise ValueError(f"side is {side}, expected a multiple of 28")
    random = np.random.default_rng(SEED)
    down, across = np.mgrid[:side, :side] / side
    radius = np.hypot(down - 0.5, across - 0.5)
    plain = np.zeros((side, side, 3), np.uint8)
    photo = Image.open(TEMPLE).convert("RGB").resize((side, side))
    tile = side // 28
    grid = np.asarray(photo).reshape(28, tile, 28, tile, 3).swapaxes(1, 2)
    mixed = random.permutation(grid.reshape(-1, tile, tile, 3)).reshape(grid.shape).swapaxes(1, 2)
    return {
        "noise": random.integers(0, 256, plain.shape, np.uint8),
        "black": plain,
        "white": plain + np.uint8(255),
        "grey": plain + np.uint8(127),
        "sky blue": plain + np.array((135, 206, 235), np.uint8),
        "slope across": grey(across),
        "slope down": grey(down),
        "stripes": grey(across * 14 % 2 < 1),
        "bars": grey(down * 14 % 2 < 1),
        "checks": grey((across * 8 // 1 + down * 8 // 1) % 2),
        "disc": grey(radius < 0.31),
        "rings": grey(0.5 + 0.5 * np.sin(radius * 37)),
        "blot": grey(np.exp(-10 * radius**2)),
        "a temple, blurred": np.asarray(photo.filter(ImageFilter.GaussianBlur(side / 6))),
        "a temple in 784 tiles, mixed": mixed.reshape(plain.shape),
    }


def grey(shares: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Shares of white [S, S] as a grey picture."""
    light = np.rint(255.0 * shares.astype(np.float64)).astype(np.uint8)
    return np.repeat(light[:, :, None], 3, axis=2)


def main(
    data: Annotated[Path, typer.Option("--data", help="Data set laid out like Flickr8K.")],
    split: Annotated[Split, typer.Option("--split")] = Split.DEV,
    plot: Annotated[Path | None, typer.Option("--plot", help="SVG or PNG to draw.")] = None,
    model: Annotated[str | None, typer.Option("--model")] = None,
) -> None:
    """Measure the confidence of a model."""
    captioner = Captioner.load(model, device="cpu")
    images = read_split(data, split)
    nothing = pictures_of_nothing(captioner.config.image.height)
    captions = caption_all(captioner, images)
    right = np.array([caption.confidence for caption in captions])
    scores = np.array(
        cider_each(
            [image.sentences for image in images],
            [tokenize(caption.text or "") for caption in captions],
        )
    )
    typer.echo("confidence, bits | mean CIDEr   (a tenth of the captions each)")
    tenths = np.array_split(np.argsort(right, kind="stable"), 10)
    by_tenth = [(right[rows].mean(), scores[rows].mean()) for rows in tenths]
    for bits, score in by_tenth:
        typer.echo(f"{bits:16.1f} | {score:.3f}")

    wrong = swapped(captioner, images, captions)
    typer.echo("\nconfidence, bits | right | swapped | share right")
    by_bin = []
    for low, high in pairwise(EDGES):
        rights = int(((right >= low) & (right < high)).sum())
        wrongs = int(((wrong >= low) & (wrong < high)).sum())
        if rights + wrongs:
            share = rights / (rights + wrongs)
            by_bin.append((low, high, share))
            typer.echo(f"{low:6.0f} to {high:6.0f} | {rights:5d} | {wrongs:7d} | {share:.3f}")
    order = (right[:, None] > wrong[None, :]).mean()
    typer.echo(f"a right pair is above a swapped one: {order:.4f}; above zero: right "
          f"{(right > 0).mean():.3f}, swapped {(wrong > 0).mean():.3f}")  # fmt: skip

    typer.echo(f"\n{'picture':28} | confidence | caption")
    for name, pixels in nothing.items():
        caption = captioner.caption(pixels)
        typer.echo(f"{name:28} | {caption.confidence:+10.1f} | {caption.text}")
    grounding = [word.grounding for caption in captions for word in caption.words]
    quantiles = np.quantile(np.array(grounding), (0.1, 0.5, 0.9))
    typer.echo("\ngrounding of a word, bits: tenth, median, nine tenths "
          + " ".join(f"{each:+.2f}" for each in quantiles))  # fmt: skip
    if plot is not None:
        draw(plot, by_tenth, right, wrong)


def draw(
    path: Path,
    by_tenth: list[tuple[float, float]],
    right: NDArray[np.float64],
    wrong: NDArray[np.float64],
) -> None:
    """Two panels: CIDEr by confidence, and both kinds of picture by confidence."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, panel) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(*zip(*by_tenth, strict=True), marker="o", color="#b36b00")
    left.set(xlabel="confidence (bits)", ylabel="mean CIDEr", title="A tenth of the captions each")
    left.set_ylim(bottom=0)
    bins = np.linspace(min(right.min(), wrong.min()), max(right.max(), wrong.max()), 40)
    panel.hist(wrong, bins, alpha=0.6, label="another picture", color="#5a78ff")
    panel.hist(right, bins, alpha=0.6, label="the caption's own picture", color="#ffaa00")
    panel.axvline(0.0, color="#222", linewidth=0.8)
    panel.set(xlabel="confidence (bits)", ylabel="captions", title="Own and swapped pictures")
    panel.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    typer.run(main)
