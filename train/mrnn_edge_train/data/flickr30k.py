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

from mrnn_edge.errors import DatasetError
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data import karpathy
from mrnn_edge_train.data.common import CaptionedImage, Split, read_lines, split_lists, split_of
from mrnn_edge_train.data.flickr8k import read_captions

_TOKENS, _TABLE, _KARPATHY = "results_20130124.token", "results.csv", "dataset_flickr30k.json"
CAPTIONS = (_TOKENS, _TABLE)
_FOLDERS = ("flickr30k-images", "flickr30k_images", "images")
_LISTS = {Split.TRAIN: "train.txt", Split.DEV: "val.txt", Split.TEST: "test.txt"}
_ROW = re.compile(r"(?P<name>[^|]+)\|\s*\d+\s*(\|\s*|\s+)(?P<sentence>.+)")


def read_split(root: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split in the order of its list; the files may be missing.

    Raises DatasetError, naming the line, if a file is not of this form.
    """
    captions = _read(root)
    folder = next((root / each for each in _FOLDERS if (root / each).is_dir()), root)
    return tuple(
        CaptionedImage(path=folder / name, sentences=tuple(captions.get(name, ())))
        for name in _names(root, captions, split)
    )


def captioned(root: Path) -> Iterable[str]:
    """Names of all pictures with captions, in a split or not."""
    return _read(root)


def _read(root: Path) -> Mapping[str, list[tuple[str, ...]]]:
    tokens = root / _TOKENS
    return read_captions(tokens) if tokens.is_file() else _read_table(root / _TABLE)


def _names(root: Path, captions: Iterable[str], split: Split) -> Sequence[str]:
    if lists := split_lists(root, _LISTS):
        names = read_lines(lists[split])
        return [name if Path(name).suffix else f"{name}.jpg" for name in names]
    if (root / _KARPATHY).is_file():
        return [image.name for image in karpathy.read_split(root / _KARPATHY, split)]
    return [name for name in captions if split_of(name) is split]


def _read_table(path: Path) -> Mapping[str, list[tuple[str, ...]]]:
    captions: dict[str, list[tuple[str, ...]]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if number == 1 and line.endswith("comment"):
            continue
        row = _ROW.fullmatch(line)
        if row is None:
            raise DatasetError(
                f"{path}, line {number}: {line[:60]!r} is not NAME| K| sentence; fix the file"
            )
        captions.setdefault(row["name"].strip(), []).append(tokenize(row["sentence"]))
    return captions
