"""The files of a run, from paths and folders. Opens no picture.

Named paths keep their order; the files of a folder are in byte order of their paths. Debris of
systems in a folder is left out: thumbnails, trash, the ._ files of Macs.
"""

import glob
import os
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.files import local_path
from mrnn_edge.image.formats import MAC_HALF, SUFFIXES

if TYPE_CHECKING:
    from mrnn_edge.language.records import Outcome

Listed: TypeAlias = "str | Outcome"
"""A file, or an outcome already: a folder that cannot be read."""

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
"""Lower-case names of folders with copies, thumbnails and deleted files."""
_TRASH: Final = ".trash-"
"""Followed by a user's number, on each disk of a Linux desktop."""


def list_files(
    paths: Iterable[str],
    *,
    recursive: bool,
    suffixes: Collection[str] = SUFFIXES,
    left_out: list[str] | None = None,
) -> Iterator[Listed]:
    """The named files, and with `recursive` those below each folder.

    A named file is listed whatever its suffix, even if missing. In a folder the `suffixes` choose,
    lower-case, as `.jpg`; links to folders are not followed. An unreadable subfolder and an address
    become error outcomes. The debris of a folder is appended to `left_out`.
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


def expand_patterns(paths: Iterable[str]) -> Iterator[str]:
    """The paths, with those that hold *, ? or [ and are not files expanded as patterns.

    A pattern without a match is kept. Do not expand names from a list: a deleted `a[1].jpg` must
    not become `a1.jpg`. Raises OptionError for **.
    """
    for path in paths:
        if os.path.lexists(path) or not glob.has_magic(path):
            yield path
        elif "**" in path:
            # glob would follow links to folders in circles.
            raise OptionError(f"{path}: ** is not supported; name the folder with -r, and --ext")
        else:
            yield from sorted(glob.glob(path), key=os.fsencode) or [path]


def _below(folder: str, suffixes: Collection[str], left_out: list[str]) -> Iterator[Listed]:
    """A folder's files in byte order of their paths; not recursive, so any depth works."""
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
    """Subfolders and pictures of a folder in order; its debris goes to `left_out`."""
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
        return name.startswith(MAC_HALF)
    lower = name.lower()
    return lower in _DEBRIS or lower.startswith(_TRASH)


def _failed(file: str, error: FileError) -> "Outcome":
    from mrnn_edge.language.records import (
        Outcome,  # not at a start
    )

    return Outcome(file=file, result=error)


def _place(entry: os.DirEntry[str]) -> bytes:
    """The sort key of an entry; the paths in a folder begin with its name and /."""
    return os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
