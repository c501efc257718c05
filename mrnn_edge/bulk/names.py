"""Lists of names and suffixes, parsed for listing.py."""

import codecs
import os
import re
from collections.abc import Iterable
from typing import Final

from mrnn_edge.errors import OptionError

_SUFFIX = re.compile(r"\.?[A-Za-z0-9_-]+")
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # begins as the mark of UTF-16 does
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""Byte-order marks and their encodings."""


def read_names(data: bytes, *, nul_ended: bool = False) -> list[str]:
    """The paths in the bytes of a list, of any bytes; empty ones are left out.

    Lines may have the ends of any system and a byte-order mark, in UTF-8, UTF-16 or UTF-32. Raises
    OptionError for another kind of list.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is not None:
        try:
            data = os.fsencode(data.decode(encoding))
        except UnicodeError as error:
            raise OptionError(
                f"the list is damaged {encoding} ({error}); save it as UTF-8"
            ) from None
    data = data.removeprefix(codecs.BOM_UTF8)
    if nul_ended:
        if data and b"\0" not in data:
            raise OptionError("the list has no NUL in it, its names are lines; leave -0 out")
        names = data.split(b"\0")
    elif b"\0" in data:
        raise OptionError(
            "the list holds NULs; give -0 if they end its names, as of find -print0, or save it as "
            "UTF-8"
        )
    elif b"\n" not in data:
        names = data.split(b"\r")  # of old Macs, or one name alone
    else:
        names = [name.removesuffix(b"\r") for name in data.split(b"\n")]
    return [os.fsdecode(name) for name in names if name]


def parse_suffixes(wanted: Iterable[str]) -> frozenset[str]:
    """`jpg`, `.JPG` or `jpg,png` as suffixes for `list_files`. Raises OptionError for others."""
    suffixes = set()
    for each in ",".join(wanted).split(","):
        if not _SUFFIX.fullmatch(each.strip()):
            raise OptionError(f"{each!r} is not a file suffix; expected one such as jpg")
        suffixes.add("." + each.strip().lower().removeprefix("."))
    return frozenset(suffixes)
