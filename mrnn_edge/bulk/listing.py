"""The files of a run, in the order of the paths; folder.py lists those below a folder."""

import glob
import os
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.image.formats import SUFFIXES
from mrnn_edge.paths import local_path

if TYPE_CHECKING:
    from mrnn_edge.language.records import Outcome

Listed: TypeAlias = "str | Outcome"
"""A file, or an outcome already: a folder that cannot be read."""


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
            from mrnn_edge.language.records import Outcome  # not at a start

            yield Outcome(file=name, result=error)
            continue
        if recursive and os.path.isdir(path):
            from mrnn_edge.bulk.walk import pictures_below  # for folders alone

            yield from pictures_below(path, suffixes, [] if left_out is None else left_out)
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
