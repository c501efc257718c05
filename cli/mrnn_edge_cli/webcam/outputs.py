"""The files that a run writes: none is its source, and no two are one. Opens nothing."""

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
    may be named twice. Raises CameraUnavailableError for a sequence without a picture.
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
