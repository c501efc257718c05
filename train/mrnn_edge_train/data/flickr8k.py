"""Flickr8K on disk: pictures, their five sentences, the official splits. No torch, no pixels.

    ROOT/images/*.jpg
    ROOT/text/Flickr8k.token.txt                 NAME#K<TAB>sentence
    ROOT/text/Flickr_8k.{train,dev,test}Images.txt

Your own pictures can be trained on in this layout.
"""

from collections.abc import Iterable
from pathlib import Path

from mrnn_edge.errors import DatasetError
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.common import (
    CaptionedImage,
    Split,
    complain,
    complain_of_missing,
    read_lines,
)

_CAPTIONS = "Flickr8k.token.txt"


def read_split(root: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split in the order of its list.

    Raises DatasetError if a file is missing, a line malformed or a picture without sentences.
    """
    text = root / "text"
    sentences = read_captions(text / _CAPTIONS)
    names = read_lines(_listing(root, split))
    folder = root / "images"
    present = {path.name for path in folder.glob("*")}
    if not names:
        raise DatasetError(f"the {split} list in {text} is empty; list its pictures, one a line")
    complain_of_missing(str(root), [folder / name for name in names if name not in present])
    complain(f"{root}: no sentence for", [name for name in names if name not in sentences])
    return tuple(
        CaptionedImage(path=folder / name, sentences=tuple(sentences[name])) for name in names
    )


def read_sentences(root: Path, split: Split) -> frozenset[tuple[str, ...]]:
    """All distinct sentences of a split; its pictures may be missing."""
    captions = read_captions(root / "text" / _CAPTIONS)
    names = read_lines(_listing(root, split))
    return frozenset(words for name in names for words in captions.get(name, ()))


def has_test(root: Path) -> bool:
    """Whether there is a list of test pictures."""
    return _listing(root, Split.TEST).is_file()


def captioned(root: Path) -> Iterable[str]:
    """Names of all pictures with captions, in a split or not."""
    return read_captions(root / "text" / _CAPTIONS)


def _listing(root: Path, split: Split) -> Path:
    return root / "text" / f"Flickr_8k.{split}Images.txt"


def read_captions(path: Path) -> dict[str, list[tuple[str, ...]]]:
    """Name -> sentences of a file of NAME#K<TAB>sentence. Raises DatasetError that names a line."""
    captions: dict[str, list[tuple[str, ...]]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        key, tab, sentence = line.partition("\t")
        name, mark, _ = key.rpartition("#")
        if not tab or not mark:
            raise DatasetError(
                f"{path}, line {number}: {line[:60]!r} is not NAME#K<TAB>sentence; fix the file"
            )
        captions.setdefault(name, []).append(tokenize(sentence))
    return captions
