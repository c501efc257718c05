"""Any data set that can be trained on, told apart by what is there, and checked before training.

    a folder laid out like Flickr8K                 flickr8k.py
    FILE.json, Karpathy's                           karpathy.py
    FILE.csv or FILE.jsonl of file,caption          listing.py

Takes a path, gives pictures with their sentences. No torch, no pixels.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mrnn_edge.errors import DatasetError
from mrnn_edge_train import flickr8k, karpathy, listing
from mrnn_edge_train.flickr8k import CaptionedImage, Split

_READERS = {
    ".json": karpathy.read_split,
    ".csv": listing.read_split,
    ".jsonl": listing.read_split,
}
_SHOWN = 5
"""Pictures named in an error or a note."""


def read_split(data: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split, in the order of the data set.

    Raises DatasetError if the data set is of no known kind, malformed, or lacks pictures or
    sentences.
    """
    if data.is_dir():
        return flickr8k.read_split(data, split)
    if data.suffix not in _READERS or not data.is_file():
        raise DatasetError(
            f"{data} is no data set; expected a folder laid out like Flickr8K, Karpathy's JSON, "
            "or a CSV or JSONL of file,caption"
        )
    images = _READERS[data.suffix](data, split)
    if not images:
        raise DatasetError(f"{data} has no picture in {split}; add some, or a column split")
    _complain(f"{data}: missing pictures", [i.name for i in images if not i.path.is_file()])
    _complain(f"{data}: no sentence for", [i.name for i in images if not i.sentences])
    return images


def read_sentences(data: Path, split: Split) -> frozenset[tuple[str, ...]]:
    """All sentences of a split, each once; in Flickr8K's layout its pictures need not be there."""
    if data.is_dir():
        return flickr8k.read_sentences(data, split)
    return frozenset(words for image in read_split(data, split) for words in image.sentences)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a data set holds."""

    pictures: Mapping[Split, int]
    sentences: Mapping[Split, int]
    twins: tuple[tuple[str, str], ...]
    """Pairs of pictures of one split that are the same file under two names."""

    def lines(self) -> tuple[str, ...]:
        """What there is to tell, for people."""
        found = tuple(
            f"{split}: {self.pictures[split]:,} pictures, {self.sentences[split]:,} sentences"
            for split in self.pictures
        )
        pairs = ", ".join(f"{one} = {other}" for one, other in self.twins[:_SHOWN])
        return (*found, f"the same picture twice: {pairs}") if self.twins else found


def inspect(data: Path) -> Inspection:
    """Read every split and every picture's bytes. A set may lack a test split.

    Raises DatasetError as `read_split` does, and where a picture, by name or by content, is in two
    splits: figures on dev or test would then be of pictures that were trained on.
    """
    splits = {split: read_split(data, split) for split in (Split.TRAIN, Split.DEV)}
    if _has_test(data):
        splits[Split.TEST] = read_split(data, Split.TEST)
    names: dict[str, Split] = {}
    contents: dict[str, tuple[Split, str]] = {}
    twice, shared, twins = [], [], []
    for split, images in splits.items():
        for image in images:
            if image.name in names:
                twice.append(image.name)
            names[image.name] = split
            digest = hashlib.sha256(image.path.read_bytes()).hexdigest()
            before, other = contents.setdefault(digest, (split, image.name))
            if before is not split:
                shared.append(f"{image.name} of {split} is {other} of {before}")
            elif other != image.name:
                twins.append((other, image.name))
    _complain(f"{data}: file names that come twice", twice)
    _complain(f"{data}: pictures in two splits", shared)
    return Inspection(
        pictures={split: len(images) for split, images in splits.items()},
        sentences={
            split: sum(len(image.sentences) for image in images) for split, images in splits.items()
        },
        twins=tuple(twins),
    )


def _has_test(data: Path) -> bool:
    if data.is_dir():
        return (data / "text" / "Flickr_8k.testImages.txt").is_file()
    return bool(_READERS[data.suffix](data, Split.TEST))


def _complain(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise DatasetError(f"{what}: {', '.join(names[:_SHOWN])}{more}; mend the data set")
