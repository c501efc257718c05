"""Captions beside their pictures: NAME.EXT.txt, and NAME.EXT.xmp for photo managers.

Takes a picture's path and its caption, writes a file whole or not at all. What is not ours stays:
an XMP sidecar is known by its toolkit's name, which other programs replace when they edit it; a
text has no room for a name, so one with other words is somebody's.
"""

import html
from enum import StrEnum
from pathlib import Path
from typing import Final

from mrnn_edge import __version__
from mrnn_edge.bundle import replacing
from mrnn_edge.errors import OptionError, SidecarError

_TOOLKIT: Final = 'x:xmptk="mrnn-edge '
_HEAD_BYTES: Final = 512
"""The toolkit's name stands within so many bytes of the start."""
_XMP: Final = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" {toolkit}{version}">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:description>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">{caption}</rdf:li>
    </rdf:Alt>
   </dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


class SidecarKind(StrEnum):
    """What is written beside a picture; the value is the suffix after the picture's own."""

    TEXT = ".txt"
    XMP = ".xmp"


def sidecar_path(file: str, kind: SidecarKind) -> Path:
    """Where a picture's sidecar stands."""
    return Path(file + kind)


def write_sidecar(file: str, caption: str, kind: SidecarKind, *, force: bool = False) -> None:
    """Write a picture's caption beside it; with `force` in place of whatever stands there.

    Not synced to the disk one by one: after a power cut the last ones may be missing, none is half.
    Raises SidecarError where something else stands there, and OSError where nothing can be written.
    """
    path = sidecar_path(file, kind)
    content = _content(caption, kind)
    if path.is_symlink():
        # It may point anywhere, and whoever put it there may not be who runs this.
        raise SidecarError(f"{path} is a link; remove it first")
    if path.exists() and not force:
        if _read_head(path, len(content) + 1) == content:
            return
        if not _is_ours(path, kind):
            raise SidecarError(
                f"{path} was not written by mrnn-edge; it stays, --force replaces it"
            )
    try:
        with replacing(path, synced=False) as sidecar:
            sidecar.write(content)
    except OptionError as error:
        raise SidecarError(str(error)) from None


def _content(caption: str, kind: SidecarKind) -> bytes:
    if kind is SidecarKind.TEXT:
        return f"{caption}\n".encode()
    text = html.escape(caption, quote=False)
    return _XMP.format(toolkit=_TOOLKIT, version=__version__, caption=text).encode()


def _is_ours(path: Path, kind: SidecarKind) -> bool:
    return kind is SidecarKind.XMP and _TOOLKIT.encode() in _read_head(path, _HEAD_BYTES)


def _read_head(path: Path, count: int) -> bytes:
    if not path.is_file():  # a FIFO would block
        return b""
    with open(path, "rb") as file:
        return file.read(count)
