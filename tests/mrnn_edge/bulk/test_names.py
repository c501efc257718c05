"""Lists of names and suffixes, of any system."""

import os

import pytest

from mrnn_edge.bulk.names import parse_suffixes, read_names
from mrnn_edge.errors import OptionError


@pytest.mark.parametrize("wanted", ["", "jpg,,png", "*.jpg", "a/b", ".", "j pg"])
def test_what_is_no_suffix_is_refused(wanted):
    with pytest.raises(OptionError, match="not a file suffix"):
        parse_suffixes([wanted])


def test_lists_hold_any_name(tmp_path):
    names = ["a b.jpg", "-x.jpg", "é.jpg", os.fsdecode(b"\xff.jpg"), " padded "]
    lines = b"\n".join(map(os.fsencode, names))
    assert read_names(lines) == names
    assert read_names(lines.replace(b"\n", b"\r\n") + b"\r\n\r\n") == names
    nul = b"\0".join(map(os.fsencode, [*names, "new\nline\r"])) + b"\0"
    assert read_names(nul, nul_ended=True) == [*names, "new\nline\r"]
    assert read_names(b"") == []


@pytest.mark.parametrize(
    ("text", "encoding", "end"),
    [
        ("a.jpg", "utf-8-sig", "\n"),
        ("a.jpg", "utf-16", "\r\n"),
        ("ä.jpg", "utf-16", "\n"),
        ("a.jpg", "utf-8", "\r"),
        ("a.jpg", "utf-8-sig", ""),
    ],
)
def test_lists_of_other_systems_hold_the_names_that_they_mean(text, encoding, end):
    assert read_names(f"{text}{end}b.jpg{end}"[: None if end else len(text)].encode(encoding)) == (
        [text, "b.jpg"] if end else [text]
    )


@pytest.mark.parametrize(
    ("data", "nul_ended", "message"),
    [
        (b"a.jpg\0b.jpg\0", False, "give -0"),
        (b"a.jpg\nb.jpg\n", True, "leave -0 out"),
        ("a.jpg\nb.jpg\n".encode("utf-16-le"), False, "save it as UTF-8"),
        ("a.jpg\nb.jpg\n".encode("utf-16-be"), False, "save it as UTF-8"),
        (b"\xff\xfea", False, "damaged UTF-16"),
    ],
)
def test_a_list_of_another_kind_is_named(data, nul_ended, message):
    with pytest.raises(OptionError, match=message):
        read_names(data, nul_ended=nul_ended)
