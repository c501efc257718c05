"""A folder of pictures into an index file, encoding only new content.

A picture is not read if its name, size and times are those of the last index. A moved, copied or
touched picture is recognised by its sha256; only new content is encoded. Files are read, hashed and
decoded in threads, a bounded number ahead of the encoder. The new index replaces the old one when
it is complete.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from mrnn_edge.arrays import Floats
from mrnn_edge.bulk.ahead import map_ahead
from mrnn_edge.bulk.listing import Listed, list_files
from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.captioner import Captioner
from mrnn_edge.engine.graphs import OpenEncoder
from mrnn_edge.errors import IndexFileError, InputError, NumericalError, OptionError
from mrnn_edge.image.formats import SUFFIXES, open_file
from mrnn_edge.image.read import Pixels, read_pixels
from mrnn_edge.index.file import Entry, IndexFile, IndexOrigin, Stamp, write_index
from mrnn_edge.language.records import Outcome
from mrnn_edge.machine import usable_cores
from mrnn_edge.timing import Track, untracked

BATCH: Final = 32
"""Pictures a call of the encoder."""
_AHEAD: Final = 2 * BATCH
"""Pictures read ahead; at most so many, and the batch, are in memory."""
_READERS: Final = max(2, min(8, usable_cores()))
"""Threads that read, hash and decode; Pillow releases the GIL while it decodes."""
_LONGEST_RUN: Final = 4096
"""Most files, kept ones included, that are written together."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a run did to an index."""

    encoded: int = 0
    """Pictures whose content was new."""
    kept: int = 0
    """Pictures whose vector the last index had."""
    gone: int = 0
    """Names of the last index that are not in this one: deleted, moved or unreadable."""
    left_out: tuple[str, ...] = ()
    """Debris in the folder (bulk/listing.py)."""
    failures: tuple[Outcome, ...] = ()
    """The pictures that could not be read or encoded; they are left out."""


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """A picture that was checked. `pixels` is None if the last index has its content."""

    entry: Entry
    pixels: Pixels | None


_Item: TypeAlias = "_Checked | Outcome"
_UNKNOWN: Final = np.zeros(0, np.float32)
"""The vector of a picture that is still to be encoded."""


def update_index(
    captioner: Captioner,
    folder: str,
    path: Path,
    *,
    replace: bool = False,
    track: Track = untracked,
) -> Changes:
    """Bring the index at `path` up to date with the pictures below a folder, or make it.

    With `replace` a new index replaces any file at `path`. Raises OptionError if the folder has no
    picture, IndexFileError if `path` is not an index of this model and precision; the file is then
    unchanged.
    """
    if not os.path.isdir(folder):
        what = "is a file, give its folder" if os.path.exists(folder) else "is not there"
        raise OptionError(f"{folder} {what}; expected a folder of pictures")
    left_out: list[str] = []
    files = list(list_files([folder], recursive=True, left_out=left_out))
    if not files:
        # The empty mount point of a missing disk must not empty the index.
        debris = f" ({len(left_out)} left out as debris)" if left_out else ""
        raise OptionError(
            f"no picture in {folder}{debris}; looked for {' '.join(sorted(SUFFIXES))}"
        )
    if replace and path.exists() and any(_is_same(path, each) for each in files):
        raise OptionError(f"{path} is a picture of {folder}; name another file for the index")
    origin = IndexOrigin(
        bundle_id=captioner.config.id,
        model=captioner.config.name,
        precision=str(captioner.precision),
        folder=os.path.abspath(folder),
        image=captioner.config.sizes.image,
    )
    last = None if replace else _last_index(path, origin)
    encoded = 0
    failures: list[Outcome] = []
    names: set[str] = set()
    shown = track(files, "index", len(files))
    with write_index(path, origin) as writer:
        looked = _check_all(shown, folder, last, captioner.config.image)
        for each in _encoded(looked, captioner.graphs.encoder, folder):
            if isinstance(each, Outcome):
                failures.append(each)
            else:
                encoded += each.pixels is not None
                names.add(each.entry.name)
                writer.add(each.entry)
        if last is not None:
            last.close()
    gone = 0 if last is None else sum(name not in names for name in last.by_name)
    return Changes(
        encoded=encoded,
        kept=len(names) - encoded,
        gone=gone,
        left_out=tuple(left_out),
        failures=tuple(failures),
    )


def _is_same(path: Path, listed: Listed) -> bool:
    with contextlib.suppress(OSError):
        return isinstance(listed, str) and os.path.samefile(path, listed)
    return False


def check_model(index: IndexFile, bundle_id: str, model: str) -> None:
    """Raise IndexFileError, both ids named, unless the index's vectors are of this model."""
    if index.origin.bundle_id != bundle_id:
        raise IndexFileError(
            f"{index.path}: index of the model {index.origin.model} (id {index.origin.bundle_id}), "
            f"this is {model} (id {bundle_id}); choose that model, or index the folder "
            "into another file"
        )


def _last_index(path: Path, origin: IndexOrigin) -> IndexFile | None:
    if not os.path.lexists(path):
        return None
    last = IndexFile(path)
    check_model(last, origin.bundle_id, origin.model)
    if last.origin.precision != origin.precision:
        raise IndexFileError(
            f"{path}: index of {last.origin.precision} vectors, this is {origin.precision}; choose "
            "that precision, or index the folder into another file"
        )
    old, new = last.origin.folder, origin.folder
    if old != new and os.path.isdir(old):
        raise IndexFileError(
            f"{path}: index of {old}, which is still there, this is {new}; "
            "index it into another file, or delete this one first"
        )
    last.check_vectors()
    return last


def _check_all(
    files: Iterable[Listed], folder: str, last: IndexFile | None, spec: ImageSpec
) -> Iterator[_Item]:
    """The result of each file, in order, checked in threads ahead of the consumer."""

    def look(file: Listed) -> _Item:
        if isinstance(file, Outcome):
            return file
        try:
            return _look(file, os.path.relpath(file, folder), last, spec)
        except InputError as error:
            return Outcome(file=file, result=error)

    if last is not None:  # once, before the threads need them
        _ = last.by_name, last.by_digest
    return map_ahead(look, files, threads=_READERS, ahead=_AHEAD, name="read")


def _look(file: str, name: str, last: IndexFile | None, spec: ImageSpec) -> _Checked:
    if last is not None and name in last.by_name:
        known = last.entry(last.by_name[name])
        with contextlib.suppress(OSError):  # raised below as an InputError
            if known.stamp == _stamp(os.stat(file)):
                return _Checked(entry=known, pixels=None)
    with open_file(file) as opened:
        stamp = _stamp(os.fstat(opened.fileno()))
        digest = hashlib.file_digest(opened, "sha256").digest()
        if last is not None and digest in last.by_digest:
            vector = last.entry(last.by_digest[digest]).vector
            entry = Entry(name=name, stamp=stamp, digest=digest, vector=vector)
            return _Checked(entry=entry, pixels=None)
        # From the hashed file, which may have been replaced by its name since.
        opened.seek(0)
        pixels = read_pixels(opened, spec)
    entry = Entry(name=name, stamp=stamp, digest=digest, vector=_UNKNOWN)
    return _Checked(entry=entry, pixels=pixels)


def _stamp(found: os.stat_result) -> Stamp:
    modified, changed = _in_64_bits(found.st_mtime_ns), _in_64_bits(found.st_ctime_ns)
    return Stamp(size=found.st_size, modified=modified, changed=changed)


def _in_64_bits(nanoseconds: int) -> int:
    """The time as stored in the index: modulo 2^64, exact from 1677 to 2262."""
    return (nanoseconds + 2**63) % 2**64 - 2**63


def _encoded(items: Iterable[_Item], encoder: OpenEncoder, folder: str) -> Iterator[_Item]:
    """The items, with the vectors of new pictures filled in or failures as outcomes."""
    for batch in _batches(items):
        new = [
            each.pixels for each in batch if isinstance(each, _Checked) and each.pixels is not None
        ]
        vectors = iter(_encode(encoder, new))
        for each in batch:
            if isinstance(each, Outcome) or each.pixels is None:
                yield each
                continue
            vector = next(vectors)
            if isinstance(vector, InputError):
                yield Outcome(file=os.path.join(folder, each.entry.name), result=vector)
            else:
                yield replace(each, entry=replace(each.entry, vector=vector))


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Runs of files, in order, with at most BATCH new pictures in each."""
    batch: list[_Item] = []
    new = 0
    for item in items:
        batch.append(item)
        new += isinstance(item, _Checked) and item.pixels is not None
        if new == BATCH or len(batch) == _LONGEST_RUN:
            yield batch
            batch, new = [], 0
    if batch:
        yield batch


def _encode(encoder: OpenEncoder, pixels: Sequence[Pixels]) -> list[Floats | InputError]:
    """A vector float32 [M] or an error for each picture uint8 [H, W, 3]."""
    if not pixels:
        return []
    try:
        return list(encoder(np.stack(pixels)))
    except NumericalError as error:
        if len(pixels) == 1:
            return [error]
        # The call fails for one bad picture: each is retried alone.
        return [found for each in pixels for found in _encode(encoder, [each])]
