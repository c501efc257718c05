"""Which files a run is of: paths, folders, patterns and lists of names. Opens no picture.

The order is fixed: what was named comes in the order of its naming, the files of a folder or of a
pattern in byte order of their paths. In a folder what systems leave beside pictures is passed over:
thumbnails, trash, the halves of files that a Mac writes on foreign disks.
"""

import codecs
import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.files import local_path
from mrnn_edge.image.formats import SUFFIXES

if TYPE_CHECKING:
    from mrnn_edge.language.records import Outcome

Listed: TypeAlias = "str | Outcome"
"""A file, or what has come of it already: a folder that cannot be read."""

_SUFFIX = re.compile(r"\.?[A-Za-z0-9_-]+")
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
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # which begins as that of UTF-16 does
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""Byte-order marks and their encodings."""


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


def read_names(data: bytes, *, nul_ended: bool = False) -> list[str]:
    """The paths in the bytes of a list, whatever bytes a path holds; empty ones are left out.

    A list of lines may have the line ends of any system and a byte-order mark, in UTF-8 or UTF-16.
    Raises OptionError, which says what to do, for a list of another kind.
    """
    marked = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    if marked is not None:
        try:
            data = os.fsencode(data.decode(marked))
        except UnicodeError as error:
            raise OptionError(f"the list is damaged {marked} ({error}); save it as UTF-8") from None
    data = data.removeprefix(codecs.BOM_UTF8)
    if nul_ended:
        if data and b"\0" not in data:
            raise OptionError("the list has no NUL in it, its names are lines; leave -0 out")
        names = data.split(b"\0")
    elif b"\0" in data:
        if _is_utf_16(data):
            raise OptionError("the list is UTF-16 without a byte-order mark; save it as UTF-8")
        raise OptionError("the list holds NULs; give -0 if they end its names, as of find -print0")
    elif b"\n" not in data:
        names = data.split(b"\r")  # of old Macs, or one name alone
    else:
        names = [name.removesuffix(b"\r") for name in data.split(b"\n")]
    return [os.fsdecode(name) for name in names if name]


def _is_utf_16(data: bytes) -> bool:
    """Whether most of every second byte is 0, as it is in the UTF-16 of Latin letters."""
    return any(half.count(0) * 2 > len(half) for half in (data[::2], data[1::2]))


def parse_suffixes(wanted: Iterable[str]) -> frozenset[str]:
    """`jpg`, `.JPG` or `jpg,png` as suffixes for `list_files`. Raises OptionError for others."""
    suffixes = set()
    for each in ",".join(wanted).split(","):
        if not _SUFFIX.fullmatch(each.strip()):
            raise OptionError(f"{each!r} is no suffix of a file; expected one such as jpg")
        suffixes.add("." + each.strip().lower().removeprefix("."))
    return frozenset(suffixes)


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
