"""The pictures below a folder, without the debris of systems: thumbnails, trash, ._ files of Macs.

Opens no picture.
"""

import os
from collections.abc import Collection, Iterator
from typing import Final

from mrnn_edge.errors import FileError
from mrnn_edge.image.formats import MAC_HALF
from mrnn_edge.language.records import Outcome

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


def pictures_below(
    folder: str, suffixes: Collection[str], left_out: list[str]
) -> Iterator[str | Outcome]:
    """A folder's files in byte order of their paths; debris goes to `left_out`.

    An unreadable subfolder becomes an error outcome. Not recursive, so any depth works.
    """
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
) -> Iterator[os.DirEntry[str] | Outcome]:
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
        yield Outcome(file=folder, result=FileError(message))
        return
    yield from sorted(found, key=_place)


def _is_debris(name: str, *, is_folder: bool) -> bool:
    if not is_folder:
        return name.startswith(MAC_HALF)
    lower = name.lower()
    return lower in _DEBRIS or lower.startswith(_TRASH)


def _place(entry: os.DirEntry[str]) -> bytes:
    """The sort key of an entry; the paths in a folder begin with its name and /."""
    return os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
