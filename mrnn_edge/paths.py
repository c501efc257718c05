"""Paths as people write them."""

import os
import re
from typing import Final

from mrnn_edge.errors import FileError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE_URL: Final = "file:"
"""In any case of letters."""


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
