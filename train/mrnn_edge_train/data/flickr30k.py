"""Flickr30K on disk, as its authors publish it or as results.csv.

    ROOT/results_20130124.token      NAME#K<TAB>sentence
    or ROOT/results.csv              image_name| comment_number| comment
    ROOT/flickr30k-images/           or flickr30k_images/, images/, or beside the file
    ROOT/train.txt, val.txt, test.txt           names, with .jpg or without
    or ROOT/dataset_flickr30k.json              Karpathy's, of which only the splits are read

Without lists the split follows from a picture's name, and figures are not comparable with published
ones. One line of the common results.csv lacks its second bar; it is read all the same. No torch, no
pixels.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mrnn_edge_train.data import karpathy
from mrnn_edge_train.data.common import (
    CaptionedImage,
    Split,
    read_captions,
    read_lines,
    split_lists,
    split_of,
)
from mrnn_edge_train.data.flickr8k import TOKENS

_ROW: Final = re.compile(r"(?P<name>[^|]+?)\s*\|\s*\d+\s*(\|\s*|\s+)(?P<sentence>.+)")
CAPTIONS: Final = {"results_20130124.token": TOKENS, "results.csv": (_ROW, "NAME| K| sentence")}
"""The forms of the files of captions by their names; the first that exists is read."""
_KARPATHY: Final = "dataset_flickr30k.json"
_FOLDERS: Final = ("flickr30k-images", "flickr30k_images", "images")
_LISTS: Final = {Split.TRAIN: "train.txt", Split.DEV: "val.txt", Split.TEST: "test.txt"}


def read_split(root: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split in the order of its list; the files may be missing.

    Raises DatasetError, naming the line, if a file is not of this form.
    """
    captions = captioned(root)
    folder = next((root / each for each in _FOLDERS if (root / each).is_dir()), root)
    return tuple(
        CaptionedImage(path=folder / name, sentences=tuple(captions.get(name, ())))
        for name in _names(root, captions, split)
    )


def captioned(root: Path) -> Mapping[str, list[tuple[str, ...]]]:
    """Sentences by the name of their picture, in a split or not."""
    name = next(each for each in CAPTIONS if (root / each).is_file())
    return read_captions(root / name, *CAPTIONS[name])


def _names(root: Path, captions: Iterable[str], split: Split) -> Sequence[str]:
    if lists := split_lists(root, _LISTS):
        names = read_lines(lists[split])
        return [name if Path(name).suffix else f"{name}.jpg" for name in names]
    if (root / _KARPATHY).is_file():
        return [image.name for image in karpathy.read_split(root / _KARPATHY, split)]
    return [name for name in captions if split_of(name) is split]
