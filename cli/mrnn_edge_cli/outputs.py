"""The files that a run writes, and the one rule of all commands: nothing is overwritten.

An output that exists as a regular file is refused. `--force` replaces it, `--resume` continues a
record or a log, and a page is refreshed if nobody has edited it. Files that the run reads are
refused even with `--force`, and so is one file under two options, whatever the spelling of its
path. Devices and pipes do not count as existing files.
"""

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final, TypeAlias

from mrnn_edge.bundle.folder import find_bundle
from mrnn_edge.errors import OptionError
from mrnn_edge.files import replacing
from mrnn_edge_cli.sealed import SealedWriter, is_sealed

_Identity: TypeAlias = tuple[int, int] | str
_STANDARD: Final = "-"
_PAGE: Final = "page"


def check_outputs(
    outputs: Mapping[str, Path | None],
    *,
    sources: Iterable[str | os.PathLike[str]],
    force: bool,
    resumed: Collection[str] = (),
    resumable: Collection[str] = (),
    refreshed: Mapping[str, Callable[[Path], bool]] = MappingProxyType({}),
) -> None:
    """Raise OptionError where an output would destroy something.

    `outputs` are paths by the name of their option. Those of `resumed` are continued; those of
    `resumable` could be, which the message says. `refreshed` has a function of a path: whether that
    file may be replaced without `--force`. Raises PermissionError for an output that may not be
    written.
    """
    wanted = {option: path for option, path in outputs.items() if path is not None}
    if not wanted:
        return
    named = {option: _identity(path) for option, path in wanted.items()}
    taken: dict[_Identity, str] = {}
    # An output that is not there yet is no source; the sources of a run may be many.
    if any(path.exists() for path in wanted.values()):
        taken = dict.fromkeys(identities(sources), "read by this run")
    for option, path in wanted.items():
        if str(path) == _STANDARD:
            raise OptionError(f"{option} -: this output cannot be standard output; name a file")
        identity = named[option]
        if identity is not None:
            if identity in taken:
                raise OptionError(f"{option} {path} is {taken[identity]}; name another file")
            taken[identity] = f"the file of {option} too"
        if path.is_file() and not (force or option in resumed):
            may_replace = refreshed.get(option)
            if may_replace is None or not may_replace(path):
                way = "--resume continues it, " if option in resumable else ""
                what = ", and is not ours or was edited since" if may_replace else ""
                raise OptionError(f"{option} {path} exists already{what}; {way}--force replaces it")
    for option, path in wanted.items():
        _check_writable(option, path)


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours that nobody has edited."""
    return is_sealed(path, _PAGE)


@contextmanager
def open_page(path: Path) -> Iterator[SealedWriter]:
    """A page to write, which appears when it is whole, or not at all."""
    with open_whole(path, new=not path.exists()) as file:
        yield SealedWriter(file, _PAGE)


def open_whole(path: Path, *, new: bool) -> AbstractContextManager[IO[bytes]]:
    """A device or a pipe as it is; anything else as `replacing` does (files.py)."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return path.open("wb")
    return replacing(path, new=new)


def model_files(model: str | None) -> list[Path]:
    """The files of a model, which no output may replace. Raises ModelNotFoundError."""
    return list(find_bundle(model).iterdir())


def identities(paths: Iterable[str | os.PathLike[str]]) -> set[_Identity]:
    """What identifies these files, whatever the path; anything but a file is left out."""
    return {found for found in map(_identity, paths) if found is not None}


def _identity(path: str | os.PathLike[str]) -> _Identity | None:
    """What two names of one file share; None for what is no regular file."""
    try:
        found = os.stat(path)
    except OSError:  # it does not exist yet
        return os.path.realpath(path)
    except ValueError:  # a NUL in the path: no file at all
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _check_writable(option: str, path: Path) -> None:
    if path.is_dir():
        raise OptionError(f"{option} {path} is a folder; name a file")
    place, needed = path, os.W_OK
    if not path.exists():
        place, needed = Path(os.path.realpath(path)).parent, os.W_OK | os.X_OK
        if not place.is_dir():
            raise OptionError(f"{option} {path}: there is no folder {place}; make it first")
    if not os.access(place, needed):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
