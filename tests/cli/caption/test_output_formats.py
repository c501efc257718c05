"""Entries are found again in what was written, whatever the files are called."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.errors import FileError
from mrnn_edge.language.records import Caption, Outcome, Word
from mrnn_edge_cli.caption.output_formats import COLUMNS, Csv, Json, Ndjson, Text

CAPTION = Caption(
    text="a dog runs",
    reason=None,
    log2_prob=-14.50001,
    perplexity=4.25,
    confidence=0.75,
    evidence=9.75,
    words=(Word(word="a", prob=0.5, grounding=0.25),),
    alternatives=(),
    unknown_words=(),
    truncated=False,
    frames=1,
    notes=(),
    model="tiny",
    device="cpu",
    precision="float32",
    timing_ms={"total": 1.0},
)
LOST = FileError("x.jpg: no such file")
# Every file name of a POSIX system: any bytes but NUL; those that are no UTF-8 become surrogates.
NAMES = st.binary(min_size=1, max_size=12).map(
    lambda name: name.replace(b"\0", b"0").decode("utf-8", "surrogateescape")
)
OUTCOMES = st.builds(
    Outcome,
    file=NAMES | st.sampled_from(['=1+"2"', "a,b", "a\r\nb"]),
    result=st.sampled_from([CAPTION, LOST]),
)


def line_formats():
    return [Ndjson(), Csv(), Text(alone=False, explain=False, coloured=False)]


def written(form, outcomes):
    """The text of a file, as the command writes it."""
    parts = [form.head(), *map(form.entry, outcomes), form.foot()]
    text = "".join(f"{part}\n" for part in parts if part is not None)
    return text.encode("utf-8").decode("utf-8")


def entries(form, text):
    """The text cut where the format says that entries end."""
    found, entry = [], ""
    for line in text.split("\n")[:-1]:
        entry += line + "\n"
        if form.is_whole(entry):
            found.append(entry.removesuffix("\n"))
            entry = ""
    assert entry == ""
    return found


@pytest.mark.parametrize("form", line_formats(), ids=lambda form: form.description)
@given(outcomes=st.lists(OUTCOMES, max_size=5))
def test_every_entry_is_found_again_under_its_files_name(form, outcomes):
    text = written(form, outcomes)
    said = [each for each in outcomes if form.entry(each) is not None]
    assert list(form.read(entries(form, text))) == [
        (form.key(each.file), each.result is LOST) for each in said
    ]


@pytest.mark.parametrize("form", line_formats(), ids=lambda form: form.description)
@given(outcomes=st.lists(OUTCOMES, min_size=1, max_size=3), data=st.data())
def test_an_entry_cut_anywhere_is_not_whole(form, outcomes, data):
    for outcome in outcomes:
        entry = form.entry(outcome)
        if entry is not None:
            cut = data.draw(st.integers(0, len(entry)))
            assert not form.is_whole(entry[:cut])


@given(st.lists(OUTCOMES, max_size=4))
def test_an_array_is_json_and_a_line_is_json_with_the_very_name(outcomes):
    array = json.loads(written(Json(), outcomes))
    lines = [json.loads(line) for line in written(Ndjson(), outcomes).splitlines()]
    assert array == lines == [each.to_record() for each in outcomes]
    assert [record["file"] for record in array] == [each.file for each in outcomes]


@given(st.lists(OUTCOMES, max_size=4))
def test_csv_is_read_by_a_reader_of_csv_and_no_cell_is_a_formula(outcomes):
    rows = list(csv.reader(io.StringIO(written(Csv(), outcomes), newline="")))
    assert rows[0] == list(COLUMNS)
    for row, outcome in zip(rows[1:], outcomes, strict=True):
        cells = dict(zip(COLUMNS, row, strict=True))
        assert not cells["file"].startswith(("=", "+", "-", "@"))
        if outcome.result is CAPTION:
            assert cells == {
                "file": cells["file"], "caption": "a dog runs", "confidence": "0.75",
                "evidence": "9.75", "log2_prob": "-14.5", "perplexity": "4.25", "reason": "",
                "error": "",
            }  # fmt: skip
        else:
            assert (cells["caption"], cells["error"]) == ("", "FileError: x.jpg: no such file")


def test_csv_names_a_file_that_looks_like_a_formula_by_its_folder():
    assert Csv().key("=cmd.jpg") == "./=cmd.jpg"
    assert Csv().key("a=b.jpg") == "a=b.jpg"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Ndjson(), "no json"),
        (Ndjson(), '{"caption": "a"}'),
        (Ndjson(), "[1]"),
        (Csv(), "a,b"),
        (Csv(), ",".join(COLUMNS) + "\na,\rb,,,,,"),
        (Csv(), ",".join(COLUMNS) + "\nonly,three,cells"),
        (Text(alone=False, explain=False, coloured=False), "no tab in it"),
    ],
)
def test_what_is_no_entry_is_refused(form, text):
    with pytest.raises(ValueError, match=r"."):
        list(form.read(text.split("\n")))
