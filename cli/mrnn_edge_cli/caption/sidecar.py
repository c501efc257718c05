"""Captions beside their pictures: NAME.EXT.txt, and NAME.EXT.xmp for photo managers.

What is not ours stays: an XMP sidecar is ours while its seal matches (sealed.py); a text has no
room for a seal, so one with other words is the user's.
"""

import html
import io
import os
from enum import StrEnum
from pathlib import Path
from typing import Final

from mrnn_edge import __version__
from mrnn_edge.errors import OptionError, SidecarError
from mrnn_edge.files import replacing
from mrnn_edge_cli.sealed import SealedWriter, is_sealed

_XMP: Final = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="mrnn-edge {version}">
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
"""
_SEAL: Final = "xmp"
_XMP_END: Final = b'\n<?xpacket end="w"?>\n'


class SidecarKind(StrEnum):
    """What is written beside a picture; the value is the suffix after the picture's own."""

    TEXT = ".txt"
    XMP = ".xmp"


def sidecar_path(file: str, kind: SidecarKind) -> Path:
    """Where a picture's sidecar stands."""
    return Path(file + kind)


def write_sidecar(file: str, caption: str, kind: SidecarKind, *, force: bool = False) -> None:
    """Write a picture's caption beside it, whole or not at all; `force` replaces what is there.

    Not synced to the disk: after a power cut the last ones may be missing. Raises SidecarError if
    another file is there, OSError if nothing can be written.
    """
    path = sidecar_path(file, kind)
    content = _content(caption, kind)
    if path.is_symlink():
        # It may point anywhere, and another user may have made it.
        raise SidecarError(f"{path} is a link; remove it first")
    if path.exists() and not path.is_file():
        raise SidecarError(f"{path} is no regular file; remove it first")
    if path.exists() and not force:
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return
        if kind is SidecarKind.TEXT or not is_sealed(path, _SEAL):
            raise SidecarError(
                f"{path} was not written by mrnn-edge, or was changed since; it stays, --force "
                "replaces it"
            )
    try:
        with replacing(path, synced=False) as sidecar:
            sidecar.write(content)
    except OptionError as error:
        raise SidecarError(str(error)) from None


def has_other_xmp(file: str) -> bool:
    """Whether a picture has another program's sidecar beside it: NAME.xmp, without its suffix.

    Some programs read NAME.EXT.xmp alone if both exist.
    """
    name = os.path.splitext(file)[0]
    return any(os.path.isfile(name + suffix) for suffix in (".xmp", ".XMP"))


def _content(caption: str, kind: SidecarKind) -> bytes:
    if kind is SidecarKind.TEXT:
        return f"{caption}\n".encode()
    text = html.escape(caption, quote=False)
    content = io.BytesIO()
    sealed = SealedWriter(content, _SEAL)
    sealed.write(_XMP.format(version=__version__, caption=text).encode())
    sealed.end(_XMP_END)
    return content.getvalue()
