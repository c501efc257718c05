"""Paths as people write them, and files that are written whole."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from mrnn_edge.errors import FileError, OptionError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE_URL: Final = "file:"
"""In any case of letters."""


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
    import secrets
    import shutil

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
    except FileExistsError:
        raise OptionError(f"{path} has appeared meanwhile; --force replaces it") from None
    except OSError:  # a file system without links
        if target.exists():
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


def open_nonblocking(path: str, flags: int) -> int:
    """An opener for `open` that does not wait for a FIFO's writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def local_path(name: str) -> str:
    """The path that a name means; `~/a.jpg` and `file:///home/me/a.jpg` are resolved.

    An existing file of exactly that name comes first. Raises FileError for other addresses: nothing
    is downloaded.
    """
    is_url = name[: len(_FILE_URL)].lower() == _FILE_URL
    if not (is_url or name.startswith("~") or "://" in name) or os.path.lexists(name):
        return name
    if name.startswith("~"):
        return os.path.expanduser(name)
    if is_url:
        return _path_of_url(name)
    if _ADDRESS.match(name):
        raise FileError(
            f"{name}: is an address, and nothing is downloaded or uploaded; name a file here"
        )
    return name


def _path_of_url(url: str) -> str:
    """`file:///a%20b.jpg` as a path."""
    from urllib.parse import unquote_to_bytes
    from urllib.request import url2pathname

    rest = url[len(_FILE_URL) :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise FileError(f"{url}: is a file of the host {host}; mount it, and give its path")
        rest = slash + path
    return url2pathname(rest) if os.name == "nt" else os.fsdecode(unquote_to_bytes(rest))
