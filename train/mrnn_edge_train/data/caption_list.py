"""Pictures with a list of captions beside them, the simple case: CSV, or JSON lines.

    file,caption                            {"file": "a.jpg", "caption": "a dog runs"}
    a.jpg,"a dog runs"                      {"file": "a.jpg", "caption": "a dog on grass"}

A file may have several lines, one for each caption; its path is relative to the list. A third
column, `split`, may say train, dev or test. Without it the split follows from the name: about one
picture in ten goes to dev and one to test, and stays there as the set grows. No torch, no
pixels.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mrnn_edge.errors import DatasetError
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.common import CaptionedImage, Split, split_of

_FORM = "expected file and caption, and perhaps split (train, dev or test), in each line"


def read_split(path: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split in the order of their first lines; the files may be missing.

    Raises DatasetError, naming the line, if the list is not of this form.
    """
    return tuple(image for found, image in _read(path, path.parent) if found is split)


def read_all(path: Path, images: Path) -> tuple[CaptionedImage, ...]:
    """All pictures of a list in any split; their paths are relative to the folder `images`."""
    return tuple(image for _, image in _read(path, images))


def _read(path: Path, images: Path) -> list[tuple[Split, CaptionedImage]]:
    captions: dict[str, list[tuple[str, ...]]] = {}
    splits: dict[str, Split] = {}
    rows = _csv(path) if path.suffix == ".csv" else _json_lines(path)
    for where, row in rows:
        name, caption, named = row.get("file"), row.get("caption"), row.get("split")
        words = tokenize(caption) if isinstance(caption, str) else ()
        if row.keys() - {"file", "caption", "split"} or not isinstance(name, str) or not words:
            raise DatasetError(f"{where}: found {row}; {_FORM}")
        if named is not None and named not in list(Split):
            raise DatasetError(f"{where}: split is {named!r}, expected train, dev or test")
        own = Split(named) if named is not None else split_of(name)
        if splits.setdefault(name, own) is not own:
            raise DatasetError(f"{where}: {name} is in {splits[name]} above and in {own} here")
        captions.setdefault(name, []).append(words)
    return [
        (splits[name], CaptionedImage(path=images / name, sentences=tuple(sentences)))
        for name, sentences in captions.items()
    ]


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        # Spreadsheets write a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            names = reader.fieldnames
            if names is None:
                raise DatasetError(f"{path}: is empty; {_FORM}")
            if not {"file", "caption"} <= set(names) <= {"file", "caption", "split"}:
                raise DatasetError(
                    f"{path}, line 1: found the columns {', '.join(map(str, names))}; expected "
                    "file, caption, and perhaps split"
                )
            for row in reader:
                yield f"{path}, line {reader.line_num}", row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read as CSV ({error}); {_FORM}") from None


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); {_FORM}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError:
            raise DatasetError(f"{where}: {line[:60]!r} is not JSON; {_FORM}") from None
        if not isinstance(row, dict):
            raise DatasetError(f"{where}: found {line[:60]}; {_FORM}")
        yield where, row
