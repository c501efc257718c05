"""Files that are written whole or not at all."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mrnn_edge.errors import OptionError


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file: readers see the old bytes or the new ones, even after a crash."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, synced: bool = True, new: bool = False) -> Iterator[IO[bytes]]:
    """A file to write; it replaces `path` at the end, or is deleted after an exception.

    Readers see the old bytes or the new ones, even after a crash of the machine, unless `synced` is
    off, which saves a wait for the disk. The target of a link is replaced; the mode is kept. With
    `new` a file that has appeared there meanwhile stays. Raises OptionError for that, and for a
    path that cannot be replaced: a folder, a device, or one in a missing folder.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OptionError(f"{path} is not a regular file; name a file that may be replaced")
    if not target.parent.is_dir():
        raise OptionError(f"{path}: there is no folder {path.parent}; make it first")
    # Without the target's name, which may be as long as a name can be.
    half = target.parent / f".mrnn-edge-{secrets.token_hex(8)}"
    try:
        # Not a tempfile: those belong to their owner alone, whatever the umask says.
        with half.open("xb") as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
        if new:
            _take_new_name(half, target, path)
        else:
            if target.exists():
                shutil.copymode(target, half)
            half.replace(target)
        if synced:
            sync_folder(target.parent)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def _take_new_name(half: Path, target: Path, path: Path) -> None:
    """Give a finished file a new name. Raises OptionError if the name is taken."""
    try:
        os.link(half, target)
    except OSError:  # the name is taken, or the file system has no links
        if os.path.lexists(target):
            raise OptionError(f"{path} has appeared meanwhile; --force replaces it") from None
        half.replace(target)
    half.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, where the system supports it."""
    # Windows opens no folder, and some network disks sync none.
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
