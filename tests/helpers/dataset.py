"""A generated data set in the layout of Flickr8K: plain pictures, sentences naming the colour."""

from pathlib import Path

import numpy as np
from PIL import Image

from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.flickr8k import read_split

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 40), "blue": (30, 40, 230)}
SENTENCES = (
    "A {} wall .",
    "The wall is {} .",
    "a bright {} wall",
    "A dog sees a {} wall",
    "{}",
)


def write(folder: Path, *, train: int, dev: int, test: int, side: int = 32) -> Path:
    """So many pictures a split, `side` pixels square."""
    (folder / "images").mkdir(parents=True)
    (folder / "text").mkdir()
    random = np.random.default_rng(5)
    captions = []
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        names = []
        for number in range(count):
            name = f"{split}{number}.png"
            colour = list(COLOURS)[number % len(COLOURS)]
            # Tinted stripes and slopes: a CNN answers a plain picture with hardly anything.
            y, x, channel = np.indices((side, side, 3))
            a, b, c = random.integers(1, 9, 3)
            stripes = (a * y + b * x + 85 * channel + x * y // c) % 256
            pixels = ((2 * stripes + COLOURS[colour]) // 3).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name)
            captions += [f"{name}#{k}\t{text.format(colour)}" for k, text in enumerate(SENTENCES)]
            names.append(name)
        listing = folder / "text" / f"Flickr_8k.{split}Images.txt"
        listing.write_text("\n".join(names) + "\n")
    (folder / "text" / "Flickr8k.token.txt").write_text("\n".join(captions) + "\n")
    return folder


def write_table(data: Path, path: Path) -> Path:
    """A feature table of a set's pictures that names each one's colour, and nothing else."""
    names, features = [], []
    for split in Split:
        for number, image in enumerate(read_split(data, split)):
            names.append(image.name)
            features.append(np.eye(len(COLOURS))[number % len(COLOURS)])
    np.savez(path, names=np.array(names), features=np.array(features))
    return path
