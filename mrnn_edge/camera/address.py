"""Parses the name of a source, and hides its credentials.

`0`, `/dev/video2` and links to such are devices, `rtsp://…` and `http://…` streams,
`clip.mp4` a video, a folder or a picture a sequence of pictures. Opens nothing.
"""

import os
import re
import stat
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.image.formats import SUFFIXES
from mrnn_edge.paths import local_path

_STREAM = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "tcp", "srt", "rtp")
_MISTYPED = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_VIDEO_URL = re.compile(r"https?://[^?#]+\.(mp4|m4v|mov|mkv|webm|avi)([?#].*)?", re.IGNORECASE)
_DEVICE = re.compile(r"/dev/(video\d+|v4l/.+)")
"""Also one that is not there at present."""
_VIDEO4LINUX = 81
"""Its major number, in the Linux kernel's list of devices."""
HIDDEN = "***"


class SourceKind(StrEnum):
    """The kinds of sources."""

    DEVICE = "device"
    STREAM = "stream"
    VIDEO = "video"
    PICTURES = "pictures"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A source by its name."""

    kind: SourceKind
    location: str
    """What is opened: the path or index of a device, a URL with its password, a path."""
    name: str
    """What messages show: the URL without its password."""

    @property
    def ends(self) -> bool:
        """Whether a stream is a video with an end: a file at an http address, by its suffix."""
        return self.kind is SourceKind.STREAM and _VIDEO_URL.fullmatch(self.location) is not None


def parse_address(source: str | int | os.PathLike[str]) -> Address:
    """Parse the name of a source. Raises OptionError for an empty name or an unknown scheme."""
    text = os.fspath(source) if isinstance(source, os.PathLike) else str(source)
    text = text.strip()
    if not text:
        raise OptionError("the source is empty; give 0, /dev/video2, a file or a URL")
    if text.isascii() and text.isdigit():
        return Address(kind=SourceKind.DEVICE, location=str(int(text)), name=str(int(text)))
    if text.lower().startswith(("~", "file:")):  # other addresses are streams
        try:
            text = local_path(text)
        except FileError as error:
            raise OptionError(str(error)) from None
    if scheme := _STREAM.match(text):
        name = hide_credentials(text)
        if scheme[1].lower() not in _SCHEMES:
            raise OptionError(
                f"{name}: {scheme[1]} is not a supported stream; "
                f"expected one of {', '.join(_SCHEMES)}, a device or a file"
            )
        return Address(kind=SourceKind.STREAM, location=text, name=name)
    if _DEVICE.fullmatch(text) or _is_device(text):
        return Address(kind=SourceKind.DEVICE, location=text, name=text)
    suffix = os.path.splitext(text)[1].lower()
    # Those left out are videos as a rule; the video reader takes a still one too.
    pictures = os.path.isdir(text) or suffix in SUFFIXES - {".gif", ".apng"}
    kind = SourceKind.PICTURES if pictures else SourceKind.VIDEO
    return Address(kind=kind, location=text, name=hide_credentials(text))


def _is_device(path: str) -> bool:
    """Whether the path is a Video4Linux device or a link to one."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False
    return stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) == _VIDEO4LINUX


def hide_credentials(url: str) -> str:
    """A URL with user, password and the values of its path and query replaced by *** .

    Cameras accept passwords in all three places, under names that no list could hold. Where the
    parts are ambiguous, everything after the scheme is hidden. Any other name may be a mistyped
    URL: all before its last @ is hidden, unless the @ belongs to an existing file or folder.
    """
    match = _STREAM.match(url)
    if not match:
        return _hide_in_name(url)
    start, rest = match[0], url[match.end() :]
    # The last @ ends the password, which may itself hold @, : and /. After a question mark the @
    # may belong to the password or to the query.
    credentials, at, place = rest.rpartition("@")
    if "?" in credentials:
        return f"{start}{HIDDEN}"
    try:
        parts = urlsplit(f"{start}{place}")
        query = "&".join(f"{key}={HIDDEN}" if eq else HIDDEN for key, eq, _ in _pairs(parts.query))
        host, path = parts.netloc, _hide_values(parts.path)
    except ValueError:
        return f"{start}{HIDDEN}"
    shown = f"{start}{HIDDEN + '@' if at and credentials else ''}{host}{path}"
    return f"{shown}?{query}" if query else shown


def _hide_in_name(name: str) -> str:
    credentials, at, place = name.rpartition("@")
    if os.path.exists(name) or (at and os.path.exists(f"{credentials}@{place.split('/')[0]}")):
        return name
    if not at and not _MISTYPED.match(name):
        return name
    place, question, _ = _hide_values(place).partition("?")
    return f"{HIDDEN + '@' if at else ''}{place}{'?' + HIDDEN if question else ''}"


def _hide_values(path: str) -> str:
    """Some cameras accept `user=me_password=secret` in the path; passwords may hold slashes."""
    key, equals, _ = path.partition("=")
    return f"{key}={HIDDEN}" if equals else path


def _pairs(query: str) -> list[tuple[str, str, str]]:
    return [pair.partition("=") for pair in query.split("&") if pair]
