"""Paths as people give them; files written whole; files that tell whether they were changed.

A sealed file is text of XML or HTML with a comment near its end that holds the sha256 of all the
rest. While it matches, nobody has edited the file since we wrote it, and we may replace it.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from mrnn_edge.errors import FileError, OptionError

_SEAL: Final = re.compile(rb"<!-- mrnn-edge (\w+) sha256 ([0-9a-f]{64}) -->")
_SEALED_TAIL: Final = 256
"""The seal stands within so many bytes of the end."""
_CHUNK: Final = 1 << 20
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE_URL: Final = "file:"
"""In any case of letters."""


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file: readers see the old bytes or the new ones, also after a crash."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, synced: bool = True, new: bool = False) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` at the end, or is gone after an exception.

    Readers see the old bytes or the new ones, also after a crash of the machine, unless `synced` is
    off, which saves a wait for the disk. A link stays one, and what it points to is replaced; the
    mode is that of the file before, or the process's own for new ones. With `new` a file that has
    appeared there meanwhile stays. Raises OptionError for that, and for a path that cannot be
    replaced: a folder, a device, no folder for it.
    """
    import secrets
    import shutil

    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OptionError(f"{path} is no regular file; name a file that may be replaced")
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
    """Give a whole file a name that nothing has yet. Raises OptionError where something has it."""
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
    """Have the names in a folder reach its disk, where the system knows of such a thing."""
    # Windows opens no folder, and some network disks sync none.
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


class SealedWriter:
    """Writes the parts of a file and ends it with its seal.

    `kind` is a word of letters, so that a page never takes the place of a sidecar.
    """

    def __init__(self, file: IO[bytes], kind: str) -> None:
        self._file = file
        self._kind = kind
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """The next part."""
        self._digest.update(data)
        self._file.write(data)

    def end(self, tail: bytes) -> None:
        """The seal and, behind it, the end of the file: at most some 100 bytes."""
        self._digest.update(tail)
        seal = f"<!-- mrnn-edge {self._kind} sha256 {self._digest.hexdigest()} -->"
        self._file.write(seal.encode())
        self._file.write(tail)


def is_sealed(path: Path, kind: str) -> bool:
    """Whether a file is, byte for byte, what a SealedWriter of this kind wrote.

    Raises OSError if it cannot be read.
    """
    with path.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - _SEALED_TAIL)
        file.seek(start)
        end = file.read()
        seals = list(_SEAL.finditer(end))
        if not seals or seals[-1][1] != kind.encode():
            return False
        digest = hashlib.sha256()
        left = start + seals[-1].start()
        file.seek(0)
        while left and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    digest.update(end[seals[-1].end() :])
    return digest.hexdigest().encode() == seals[-1][2]


def local_path(name: str) -> str:
    """The path that a name means: `~/a.jpg` and `file:///home/me/a.jpg` are understood.

    A file that is really called so comes first. Raises FileError for the address of something
    elsewhere, which is not downloaded.
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
