"""Drawn pictures with captions, to try training on: `python benchmarks/drawn.py FOLDER`.

    FOLDER/own/       50 pictures of coloured shapes, captions.csv with two captions each
    FOLDER/zebra/     24 striped animals on grass or sand, captions.csv likewise
    FOLDER/unseen/    12 more of these, without captions

The same pictures each time. docs/teaching.md says what comes of them.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 224
COLOURS = {"red": (200, 30, 30), "blue": (40, 60, 200), "green": (30, 150, 50),
           "yellow": (230, 210, 40), "purple": (130, 40, 150)}  # fmt: skip
SHAPES = ("circle", "square", "triangle")
GROUNDS = {"grass": (90, 150, 60), "sand": (220, 200, 150)}


def shape(random: np.random.Generator) -> tuple[Image.Image, list[str]]:
    """A shape of one colour on a background of another."""
    name, behind = random.permutation(list(COLOURS))[:2]
    kind = str(random.choice(SHAPES))
    picture = Image.new("RGB", (SIDE, SIDE), COLOURS[behind])
    draw = ImageDraw.Draw(picture)
    x, y = random.integers(20, 90, 2).tolist()
    size = int(random.integers(80, 120))
    if kind == "circle":
        draw.ellipse((x, y, x + size, y + size), fill=COLOURS[name])
    elif kind == "square":
        draw.rectangle((x, y, x + size, y + size), fill=COLOURS[name])
    else:
        draw.polygon([(x, y + size), (x + size, y + size), (x + size // 2, y)], fill=COLOURS[name])
    return picture, [f"a {name} {kind} on a {behind} background", f"{behind} with a {name} {kind}"]


def zebra(random: np.random.Generator) -> tuple[Image.Image, list[str]]:
    """An animal with stripes."""
    ground = str(random.choice(list(GROUNDS)))
    picture = Image.new("RGB", (SIDE, SIDE), (150, 190, 230))
    draw = ImageDraw.Draw(picture)
    horizon = int(random.integers(80, 130))
    draw.rectangle((0, horizon, SIDE, SIDE), fill=GROUNDS[ground])
    body = Image.new("RGB", (SIDE, SIDE), (245, 245, 245))
    stripes = ImageDraw.Draw(body)
    for at in range(-SIDE, 2 * SIDE, int(random.integers(10, 16))):
        stripes.line((at, 0, at + 40, SIDE), fill=(20, 20, 20), width=5)
    mask = Image.new("L", (SIDE, SIDE), 0)
    outline = ImageDraw.Draw(mask)
    x, y = int(random.integers(20, 60)), int(random.integers(70, 100))
    outline.ellipse((x, y, x + 110, y + 55), fill=255)
    outline.polygon([(x + 85, y + 20), (x + 105, y + 30), (x + 130, y - 25), (x + 115, y - 35)],
                    fill=255)  # fmt: skip
    outline.ellipse((x + 110, y - 45, x + 150, y - 15), fill=255)
    for leg in (15, 32, 75, 92):
        outline.rectangle((x + leg, y + 40, x + leg + 8, y + 100), fill=255)
    picture.paste(body, (0, 0), mask)
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    noise = random.normal(0, 6, (SIDE, SIDE, 3))
    picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    return picture, [f"a zebra is standing on the {ground}", f"a zebra on {ground}"]


def write(folder: Path, draw, count: int, seed: int, *, captions: bool) -> None:
    """`count` pictures, and captions.csv beside them where there are to be captions."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    rows = [("file", "caption")]
    for number in range(count):
        picture, sentences = draw(random)
        name = f"{folder.name}{number:02}.jpg"
        picture.save(folder / name, quality=90)
        rows += [(name, sentence) for sentence in sentences]
    if captions:
        with (folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    write(root / "own", shape, 50, 1, captions=True)
    write(root / "zebra", zebra, 24, 2, captions=True)
    write(root / "unseen", zebra, 12, 3, captions=False)
