"""Which files a run is of: paths, folders, patterns and lists of names. Opens no picture.

The order is fixed: what was named comes in the order of its naming, the files of a folder or of a
pattern in byte order of their paths. In a folder what systems leave beside pictures is passed over:
thumbnails, trash, the halves of files that a Mac writes on foreign disks.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from mrnn_edge.errors import FileError
from mrnn_edge.files import local_path
from mrnn_edge.image.formats import SUFFIXES

if TYPE_CHECKING:
    from mrnn_edge.language.records import Outcome

Listed: TypeAlias = "str | Outcome"
"""A file, or what has come of it already: a folder that cannot be read."""

_HALF: Final = "._"
"""A Mac writes what foreign disks cannot hold of NAME, its resources, into ._NAME."""
_DEBRIS: Final = frozenset(
    (
        *("@eadir", "#recycle", "#snapshot"),  # Synology
        *("@recycle", ".@__thumb", "@recently-snapshot"),  # QNAP
        *(".thumbnails", ".thumbs", ".xvpics", ".picasaoriginals", ".dtrash"),  # photo software
        *("lost+found", ".trash", ".trashes"),
        *("$recycle.bin", "recycler", "system volume information"),  # Windows
        *(".appledouble", "__macosx", ".spotlight-v100", ".fseventsd", ".documentrevisions-v100"),
        *(".stversions", ".snapshot", ".snapshots", ".zfs", ".sync", ".tmp.drivedownload"),
    )
)
"""Names, lower-case, of folders that hold copies, thumbnails and what was deleted."""
_TRASH: Final = ".trash-"
"""With the number of its user behind it, on each disk of a Linux desktop."""


def list_files(
    paths: Iterable[str],
    *,
    recursive: bool,
    suffixes: Collection[str] = SUFFIXES,
    left_out: list[str] | None = None,
) -> Iterator[Listed]:
    """The files that were named, and with `recursive` those below each folder.

    A named file comes whatever its suffix, missing or not: its outcome tells. A folder gives the
    files with one of the `suffixes`, lower-case, as `.jpg`; links to folders are not followed; a
    subfolder that cannot be read comes as the outcome that says so, and so does an address. Files
    and folders below it that are debris go to `left_out`.
    """
    for name in paths:
        try:
            path = local_path(name)
        except FileError as error:
            yield _failed(name, error)
            continue
        if recursive and os.path.isdir(path):
            yield from _below(path, suffixes, [] if left_out is None else left_out)
        else:
            yield path


def _below(folder: str, suffixes: Collection[str], left_out: list[str]) -> Iterator[Listed]:
    """A folder's files in byte order of their paths, one folder's names in memory at a time."""
    open_folders = [_entries(folder, suffixes, left_out)]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
        elif not isinstance(entry, os.DirEntry):
            yield entry
        elif entry.is_dir(follow_symlinks=False):
            open_folders.append(_entries(entry.path, suffixes, left_out))
        else:
            yield entry.path


def _entries(
    folder: str, suffixes: Collection[str], left_out: list[str]
) -> "Iterator[os.DirEntry[str] | Outcome]":
    """Subfolders and pictures of a folder in their order; its debris goes to `left_out`."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if not (is_folder or os.path.splitext(entry.name)[1].lower() in suffixes):
                    continue
                if _is_debris(entry.name, is_folder=is_folder):
                    left_out.append(entry.path)
                else:
                    found.append(entry)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{folder}: folder cannot be read ({reason}); check its owner and mode"
        yield _failed(folder, FileError(message))
        return
    yield from sorted(found, key=_place)


def _is_debris(name: str, *, is_folder: bool) -> bool:
    if not is_folder:
        return name.startswith(_HALF)
    lower = name.lower()
    return lower in _DEBRIS or lower.startswith(_TRASH)


def _failed(file: str, error: FileError) -> "Outcome":
    from mrnn_edge.language.records import (
        Outcome,  # a start makes none, and reads its picture later
    )

    return Outcome(file=file, result=error)


def _place(entry: os.DirEntry[str]) -> bytes:
    """Where an entry's paths stand among its neighbours': a folder's begin with its name and /."""
    return os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
