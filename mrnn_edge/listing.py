"""Which files a run is of: paths, folders, patterns and lists of names. Opens no picture.

The order is fixed: what was named comes in the order of its naming, the files of a folder or of a
pattern in byte order of their paths.
"""

import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.formats import SUFFIXES

if TYPE_CHECKING:
    from mrnn_edge.records import Outcome

Listed: TypeAlias = "str | Outcome"
"""A file, or what has come of it already: a folder that cannot be read."""

_SUFFIX = re.compile(r"\.?[A-Za-z0-9_-]+")


def list_files(
    paths: Iterable[str], *, recursive: bool, suffixes: Collection[str] = SUFFIXES
) -> Iterator[Listed]:
    """The files that were named, and with `recursive` those below each folder.

    A named file comes whatever its suffix, missing or not: its outcome tells. A folder gives the
    files with one of the `suffixes`, lower-case, as `.jpg`; links to folders are not followed; a
    subfolder that cannot be read comes as the outcome that says so.
    """
    for path in paths:
        if recursive and os.path.isdir(path):
            yield from _below(path, suffixes)
        else:
            yield path


def expand_patterns(paths: Iterable[str]) -> Iterator[str]:
    """The same paths, one that is no file and holds *, ? or [ taken as a pattern.

    One that nothing matches comes as it is. Names out of a list are no patterns: what is called
    `a[1].jpg` there, and has gone, must not become `a1.jpg`. Raises OptionError for **.
    """
    for path in paths:
        if os.path.lexists(path) or not glob.has_magic(path):
            yield path
        elif "**" in path:
            # glob would follow links to folders there, round and round.
            raise OptionError(f"{path}: ** is no pattern here; name the folder with -r, and --ext")
        else:
            yield from sorted(glob.glob(path), key=os.fsencode) or [path]


def read_names(data: bytes, *, separator: bytes = b"\n") -> list[str]:
    """The paths in the bytes of a list, whatever bytes a path holds; empty ones are left out.

    A list of lines may have Windows' line ends.
    """
    names = data.split(separator)
    if separator == b"\n":
        names = [name.removesuffix(b"\r") for name in names]
    return [os.fsdecode(name) for name in names if name]


def parse_suffixes(wanted: Iterable[str]) -> frozenset[str]:
    """`jpg`, `.JPG` or `jpg,png` as suffixes for `list_files`. Raises OptionError for others."""
    suffixes = set()
    for each in ",".join(wanted).split(","):
        if not _SUFFIX.fullmatch(each.strip()):
            raise OptionError(f"{each!r} is no suffix of a file; expected one such as jpg")
        suffixes.add("." + each.strip().lower().removeprefix("."))
    return frozenset(suffixes)


def _below(folder: str, suffixes: Collection[str]) -> Iterator[Listed]:
    """A folder's files in byte order of their paths, one folder's names in memory at a time."""
    open_folders = [_entries(folder, suffixes)]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
        elif not isinstance(entry, os.DirEntry):
            yield entry
        elif entry.is_dir(follow_symlinks=False):
            open_folders.append(_entries(entry.path, suffixes))
        else:
            yield entry.path


def _entries(folder: str, suffixes: Collection[str]) -> "Iterator[os.DirEntry[str] | Outcome]":
    try:
        with os.scandir(folder) as entries:
            found = [
                entry
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
                or os.path.splitext(entry.name)[1].lower() in suffixes
            ]
    except OSError as error:
        from mrnn_edge.records import Outcome  # a start makes none, and reads its picture later

        reason = error.strerror or str(error)
        message = f"{folder}: folder cannot be read ({reason}); check its owner and mode"
        yield Outcome(file=folder, result=FileError(message))
        return
    yield from sorted(found, key=_place)


def _place(entry: os.DirEntry[str]) -> bytes:
    """Where an entry's paths stand among its neighbours': a folder's begin with its name and /."""
    return os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
