"""Flickr8K on disk: pictures, their five sentences, the official splits. No torch, no pixels.

    ROOT/images/*.jpg
    ROOT/text/Flickr8k.token.txt                 NAME#K<TAB>sentence
    ROOT/text/Flickr_8k.{train,dev,test}Images.txt

Your own pictures can be trained on in this layout, without a test list too.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mrnn_edge.errors import DatasetError
from mrnn_edge_train.data.common import CaptionedImage, Split, read_captions, read_lines

TOKENS: Final = (re.compile(r"(?P<name>[^\t]*)#[^\t]*\t(?P<sentence>.*)"), "NAME#K<TAB>sentence")
"""The form of a line of captions, for `read_captions`."""


def read_split(root: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split in the order of its list; the files may be missing.

    Raises DatasetError if a list is missing or empty, or a line is malformed.
    """
    text = root / "text"
    captions = captioned(root)
    listing = text / f"Flickr_8k.{split}Images.txt"
    if split is Split.TEST and not listing.is_file():
        return ()
    names = read_lines(listing)
    if not names:
        raise DatasetError(f"the {split} list in {text} is empty; list its pictures, one a line")
    return tuple(
        CaptionedImage(path=root / "images" / name, sentences=tuple(captions.get(name, ())))
        for name in names
    )


def captioned(root: Path) -> Mapping[str, list[tuple[str, ...]]]:
    """Sentences by the name of their picture, in a split or not."""
    return read_captions(root / "text" / "Flickr8k.token.txt", *TOKENS)
