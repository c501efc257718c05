"""Read any supported data set, recognised by its files, and check it before training.

    a folder laid out like Flickr8K                 flickr8k.py
    … like Flickr30K                                flickr30k.py
    … like IAPR TC-12                               iapr.py
    … like the everyday pictures                    everyday.py
    FILE.json, Karpathy's                           karpathy.py
    FILE.csv or FILE.jsonl of file,caption,
    or a folder with captions.csv or .jsonl         caption_list.py

Takes a path, gives pictures with their sentences. No torch.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import DatasetError, InputError
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train.data import caption_list, everyday, flickr8k, flickr30k, iapr, karpathy
from mrnn_edge_train.data.common import (
    CaptionedImage,
    Split,
    complain,
    complain_of_missing,
    complain_of_unreadable,
    first_few,
)


class _Reader(NamedTuple):
    """How to read one kind of data set."""

    read_split: Callable[[Path, Split], tuple[CaptionedImage, ...]]
    captioned: Callable[[Path], Iterable[str]] = lambda _path: ()
    """Names of all pictures with captions, if a separate file holds the captions."""


_LISTING = _Reader(caption_list.read_split)
_FILES = {".json": _Reader(karpathy.read_split), ".csv": _LISTING, ".jsonl": _LISTING}
_SMALL = ImageSpec(height=16, width=16)
"""Any size will do to test whether a picture can be decoded."""


def read_split(data: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split, in the order of the data set.

    Raises DatasetError if the data set is of an unknown kind, malformed, or lacks pictures or
    sentences.
    """
    images = _read(data, split)
    _check_files(data, images)
    return images


def read_sentences(data: Path, split: Split) -> frozenset[tuple[str, ...]]:
    """All sentences of a split, each once; its pictures need not be there."""
    return frozenset(words for image in _read(data, split) for words in image.sentences)


def _read(data: Path, split: Split) -> tuple[CaptionedImage, ...]:
    path, reader = _find_reader(data)
    images = reader.read_split(path, split)
    if not images:
        raise DatasetError(f"{data} has no picture in {split}; add some, or a column split")
    return images


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a data set holds."""

    pictures: Mapping[Split, int]
    sentences: Mapping[Split, int]
    twins: tuple[tuple[str, str], ...]
    """Pairs of pictures of one split that are the same file under two names."""
    idle: tuple[str, ...] = ()
    """Files beside the pictures that are in no split."""
    unshown: tuple[str, ...] = ()
    """Pictures with captions that are in no split, whether or not the file exists."""

    def lines(self) -> tuple[str, ...]:
        """The findings as lines of text."""
        found = [
            f"{split}: {self.pictures[split]:,} pictures, {self.sentences[split]:,} sentences"
            for split in self.pictures
        ]
        if self.twins:
            pairs = [f"{one} = {other}" for one, other in self.twins]
            found.append(f"the same picture twice: {first_few(pairs)}")
        if self.idle:
            found.append(f"files beside the pictures that are in no split: {first_few(self.idle)}")
        if self.unshown:
            found.append(f"captions of pictures that are in no split: {first_few(self.unshown)}")
        return tuple(found)


def inspect(data: Path) -> Inspection:
    """Read every split. A set may lack a test split. Decodes no picture.

    Raises DatasetError as `read_split` does, and if a picture, by name or by content, is in two
    splits: dev or test figures would then include pictures of the training split.
    """
    splits = {split: read_split(data, split) for split in (Split.TRAIN, Split.DEV)}
    path, reader = _find_reader(data)
    if test := reader.read_split(path, Split.TEST):
        _check_files(data, test)
        splits[Split.TEST] = test
    names: dict[str, CaptionedImage] = {}
    twice = []
    for image in chain(*splits.values()):
        if image.name in names:
            twice.append(image.name)
        names[image.name] = image
    complain(f"{data}: duplicate file names", twice)
    shared, twins = _same_content(splits)
    complain(f"{data}: pictures in two splits", shared)
    return Inspection(
        pictures={split: len(images) for split, images in splits.items()},
        sentences={
            split: sum(len(image.sentences) for image in images) for split, images in splits.items()
        },
        twins=tuple(twins),
        idle=_idle(list(names.values())),
        unshown=tuple(name for name in reader.captioned(path) if name not in names),
    )


def check_pictures(
    data: Path, images: Sequence[CaptionedImage], *, track: Track = untracked
) -> None:
    """Raise DatasetError, with names and reasons, unless every picture can be decoded."""
    # Imported here because every command imports this module.
    from concurrent.futures import ThreadPoolExecutor

    from mrnn_edge.image.read import read_pixels

    _check_files(data, images)

    def fault(image: CaptionedImage) -> InputError | None:
        try:
            read_pixels(image.path, _SMALL)
        except InputError as error:
            return error
        return None

    with ThreadPoolExecutor() as pool:
        found = list(track(pool.map(fault, images), "checking", len(images)))
    complain_of_unreadable([each for each in found if each is not None], len(images))


def _find_reader(data: Path) -> tuple[Path, _Reader]:
    """The file or folder to read, and its reader."""
    if data.is_dir():
        if (data / iapr.ANNOTATIONS).is_dir():
            return data, _Reader(iapr.read_split, iapr.captioned)
        if any((data / name).is_file() for name in flickr30k.CAPTIONS):
            return data, _Reader(flickr30k.read_split, flickr30k.captioned)
        for listing in (data / "captions.csv", data / "captions.jsonl"):
            if listing.is_file():
                ours = listing.name == everyday.CAPTIONS and everyday.is_everyday(listing)
                return listing, _Reader(everyday.read_split) if ours else _LISTING
        return data, _Reader(flickr8k.read_split, flickr8k.captioned)
    if data.suffix not in _FILES or not data.is_file():
        raise DatasetError(
            f"{data} is not a data set; expected a folder laid out like Flickr8K, Flickr30K or "
            "IAPR TC-12, Karpathy's JSON, or a CSV or JSONL of file,caption"
        )
    return data, _FILES[data.suffix]


def _check_files(data: Path, images: Sequence[CaptionedImage]) -> None:
    complain_of_missing(str(data), [i.path for i in images if not i.path.is_file()])
    complain(f"{data}: no sentence for", [i.name for i in images if not i.sentences])


def _same_content(
    splits: Mapping[Split, Sequence[CaptionedImage]],
) -> tuple[list[str], list[tuple[str, str]]]:
    """Identical files: across splits as text, within a split as pairs of names."""
    contents: dict[str, tuple[Split, str]] = {}
    shared, twins = [], []
    for split, images in splits.items():
        for image in images:
            digest = hashlib.sha256(image.path.read_bytes()).hexdigest()
            before, other = contents.setdefault(digest, (split, image.name))
            if before is not split:
                shared.append(f"{image.name} of {split} is {other} of {before}")
            elif other != image.name:
                twins.append((other, image.name))
    return shared, twins


def _idle(images: Sequence[CaptionedImage]) -> tuple[str, ...]:
    """Picture files in the pictures' folders that no split lists."""
    used = {image.path for image in images}
    suffixes = {path.suffix for path in used}
    folders = sorted({path.parent for path in used})
    beside = (file for folder in folders for file in sorted(folder.iterdir()))
    return tuple(file.name for file in beside if file.suffix in suffixes and file not in used)
