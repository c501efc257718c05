"""The files that a run writes: none is its source, no two are one, all can be. Opens nothing."""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from mrnn_edge.camera.address import SourceKind, parse_address
from mrnn_edge.camera.pictures import list_pictures
from mrnn_edge.errors import OptionError

_Identity: TypeAlias = tuple[int, int] | str


def check_outputs(source: str, outputs: Mapping[str, Path | None]) -> None:
    """Raise OptionError where an output would destroy the source or another output.

    `outputs` are paths by the name of their option. Links are followed. Devices, such as /dev/null,
    may be named twice. Raises CameraUnavailableError for a sequence without a picture, and OSError
    for an output that cannot be written: all are told before the first one is opened, and emptied.
    """
    wanted = {option: path for option, path in outputs.items() if path is not None}
    if not wanted:
        return
    taken = {_identity(path): "the source itself" for path in _source_files(source)}
    for option, path in wanted.items():
        identity = _identity(path)
        if identity is None:
            continue
        if identity in taken:
            raise OptionError(f"{option} {path} is {taken[identity]}; name another file")
        taken[identity] = f"the file of {option} too"
    for path in wanted.values():
        _check_writable(path)


def _check_writable(path: Path) -> None:
    if path.is_dir():
        reason = errno.EISDIR
    elif path.exists():
        reason = 0 if os.access(path, os.W_OK) else errno.EACCES
    else:
        folder = os.path.dirname(os.path.realpath(path))
        missing = 0 if os.access(folder, os.W_OK | os.X_OK) else errno.EACCES
        reason = missing if os.path.isdir(folder) else errno.ENOENT
    if reason:
        raise OSError(reason, os.strerror(reason), str(path))


def _source_files(source: str) -> list[str]:
    address = parse_address(source)
    if address.kind is SourceKind.PICTURES:
        return list_pictures(address.location)
    return [address.location] if address.kind is SourceKind.VIDEO else []


def _identity(path: str | Path) -> _Identity | None:
    """What two names of one file share; None for what is no file."""
    try:
        found = os.stat(path)
    except OSError:  # to be made
        return os.path.realpath(path)
    except ValueError:  # a NUL in the path: no file at all
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
