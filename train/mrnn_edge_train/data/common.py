"""What the readers of data sets share: pictures with sentences, splits, text files, errors.

An error says what is wrong, the first few names, and how many there are. No torch, no pixels.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mrnn_edge.errors import DatasetError, InputError
from mrnn_edge.vocab import tokenize

_SHOWN = 5
"""Names in an error or a note."""
_READABLE = 100
"""One in so many training pictures may be unreadable."""


class Split(StrEnum):
    """The official parts of the data set."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"


@dataclass(frozen=True, kw_only=True)
class CaptionedImage:
    """A picture and its tokenised reference sentences."""

    path: Path
    sentences: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        """The file's name, its key in the data set and in feature tables."""
        return self.path.name


def split_of(name: str) -> Split:
    """The split of a picture for which the data set names none: a hash of its name."""
    bucket = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10
    return {0: Split.DEV, 1: Split.TEST}.get(bucket, Split.TRAIN)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty. Raises DatasetError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}); expected a folder laid out like Flickr8K "
            "(images/, text/Flickr8k.token.txt, text/Flickr_8k.trainImages.txt and so on), "
            "Flickr30K or IAPR TC-12, or one with a captions.csv or captions.jsonl"
        ) from None
    # Not splitlines: a sentence may hold U+2028 and its like.
    return [line.strip() for line in text.split("\n") if line.strip()]


def read_captions(path: Path, row: re.Pattern[str], form: str) -> dict[str, list[tuple[str, ...]]]:
    """Sentences by `name`, from lines that match `row`, with perhaps a line of column names.

    Raises DatasetError that names another line, and the form.
    """
    captions: dict[str, list[tuple[str, ...]]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if found := row.fullmatch(line):
            captions.setdefault(found["name"], []).append(tokenize(found["sentence"]))
        elif number > 1 or not line.endswith("comment"):
            raise DatasetError(f"{path}, line {number}: {line[:60]!r} is not {form}; fix the file")
    return captions


def split_lists(root: Path, names: Mapping[Split, str]) -> dict[Split, Path]:
    """The files that list the pictures of the splits: all of them, or none.

    Raises DatasetError if only some are there.
    """
    found = {each: root / name for each, name in names.items() if (root / name).is_file()}
    if 0 < len(found) < len(names):
        raise DatasetError(f"{root}: expected all of {', '.join(names.values())}, or none")
    return found


def first_few(names: Sequence[object], separator: str = ", ") -> str:
    """`a.jpg, b.jpg, c.jpg, d.jpg, e.jpg and 7 more`."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{separator.join(map(str, names[:_SHOWN]))}{more}"


def complain(what: str, names: Sequence[object], separator: str = ", ") -> None:
    """Raise DatasetError if there are any names."""
    if names:
        raise DatasetError(f"{what}: {first_few(names, separator)}; fix the data set")


def complain_of_missing(where: str, paths: Sequence[Path]) -> None:
    """Raise DatasetError, naming pictures and their folder, if there are any paths."""
    folders = {path.parent for path in paths}
    if len(folders) == 1:
        complain(f"{where}: missing pictures in {folders.pop()}", [path.name for path in paths])
    complain(f"{where}: missing pictures", paths)


def spare(count: int) -> int:
    """How many of `count` training pictures may be unreadable; they are left out."""
    return count // _READABLE


def left_out(names: Sequence[str]) -> tuple[str, ...]:
    """One line naming the unreadable training pictures; empty if there are none."""
    if not names:
        return ()
    pictures = "picture" if len(names) == 1 else "pictures"
    return (f"{len(names)} training {pictures} cannot be read, left out: {', '.join(names)}",)


def complain_of_unreadable(failures: Sequence[InputError], count: int, *, allowed: int = 0) -> None:
    """Raise DatasetError, with the first reasons, for more than `allowed` of `count` pictures."""
    if len(failures) > allowed:
        complain(f"{len(failures)} of {count} pictures cannot be read", failures, "; ")
