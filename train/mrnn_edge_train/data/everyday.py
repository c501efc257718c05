"""The data set of everyday pictures on disk: sentences, names, and sentences without pictures.

    ROOT/captions.jsonl     {"file": "images/a.webp", "captions": ["…"], "split": "train", …}
    ROOT/named.jsonl        {"file": "images/b.webp", "names": ["siamese cat"], "source": "…"}
    ROOT/sentences.tsv.gz   SOURCE<TAB>sentence

Each of the three may be there alone. Some named pictures of single things are held out, by a hash
of their names, to measure with. No torch, no pixels.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mrnn_edge.errors import DatasetError
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.common import CaptionedImage, Split

CAPTIONS, NAMED, SENTENCES = "captions.jsonl", "named.jsonl", "sentences.tsv.gz"
HELD_OUT: Final = 200
"""Number of named pictures held out."""
SINGLE: Final = ("imagenet", "grocery")
"""Sources whose pictures show one thing."""


@dataclass(frozen=True, kw_only=True)
class NamedImage:
    """A picture with the names of what it shows."""

    path: Path
    names: tuple[str, ...]
    """The largest first."""
    source: str

    @property
    def name(self) -> str:
        """The file's name, its key in tables of vectors."""
        return self.path.name


def is_everyday(path: Path) -> bool:
    """Whether a list of JSON lines has several captions a line, as this data set does."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        return '"captions"' in stream.readline()


def read_split(path: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split of captions.jsonl, in its order; the files need not exist.

    Raises DatasetError, naming the line, if the file is not in this form.
    """
    found = []
    for where, row in _lines(path):
        file, captions, own = (row.get(key) for key in ("file", "captions", "split"))
        if not isinstance(file, str) or own not in list(Split):
            raise DatasetError(f"{where}: expected file, captions and split (train, dev or test)")
        if own == split:
            sentences = tuple(map(tokenize, _texts(captions, f"{where}: captions")))
            found.append(CaptionedImage(path=path.parent / file, sentences=sentences))
    return tuple(found)


def read_named(path: Path) -> tuple[NamedImage, ...]:
    """All pictures of named.jsonl. Raises DatasetError, naming the line."""
    found = []
    for where, row in _lines(path):
        file, source = row.get("file"), row.get("source", "")
        if not isinstance(file, str) or not isinstance(source, str):
            raise DatasetError(f"{where}: expected file, names and source")
        names = _texts(row.get("names"), f"{where}: names")
        found.append(NamedImage(path=path.parent / file, names=names, source=source))
    return tuple(found)


def read_sentences(path: Path) -> tuple[tuple[str, ...], ...]:
    """The sentences of sentences.tsv.gz as tokens. Raises DatasetError, naming the line."""
    found = []
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
            for number, line in enumerate(stream, start=1):
                _, tab, sentence = line.rstrip("\n").partition("\t")
                if not tab or not (words := tokenize(sentence)):
                    raise DatasetError(f"{path}, line {number}: is not SOURCE<TAB>sentence")
                found.append(words)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); copy it again") from None
    return tuple(found)


def held_out(images: tuple[NamedImage, ...]) -> tuple[NamedImage, ...]:
    """The 200 pictures of single things whose names hash lowest, in the order of the set."""
    single = [image for image in images if image.source in SINGLE]
    lowest = {image.name for image in sorted(single, key=_digest)[:HELD_OUT]}
    return tuple(image for image in images if image.name in lowest)


def _digest(image: NamedImage) -> str:
    return hashlib.sha256(image.name.encode()).hexdigest()


def _texts(value: Any, where: str) -> tuple[str, ...]:
    texts = tuple(value) if isinstance(value, list) else ()
    if not texts or not all(isinstance(each, str) and tokenize(each) for each in texts):
        raise DatasetError(f"{where} is {str(value)[:60]}, expected a list of texts")
    return texts


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError:
            raise DatasetError(f"{where}: {line[:60]!r} is not JSON") from None
        if not isinstance(row, dict):
            raise DatasetError(f"{where}: found {line[:60]}, expected an object")
        yield where, row
