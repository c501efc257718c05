"""A record's JSON form: there and back, and everything that is no record."""

import json

import pytest
from benched import record
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.errors import BenchRecordError
from mrnn_edge_cli.bench.record import read_record, record_from_dict

DOCUMENT = record().to_dict()


def test_a_record_comes_back_as_it_was():
    for each in (record(), record(rss_mb=None, affinity=None)):
        assert record_from_dict(json.loads(json.dumps(each.to_dict()))) == each


def test_the_form_has_the_fields_that_readers_go_by():
    assert set(DOCUMENT) >= {
        "machine", "versions", "model", "device", "precision", "threads", "runs", "stages_ms",
        "step_ms", "encoder_only_ms", "overhead_ratio", "cold_start_ms",
        "throughput_images_per_s", "rss_mb",
    }  # fmt: skip
    assert DOCUMENT["format"] == 1
    assert list(DOCUMENT["stages_ms"]) == ["decode", "encode", "generate", "total"]
    for each in (*DOCUMENT["stages_ms"].values(), DOCUMENT["step_ms"], DOCUMENT["array_ms"]):
        assert set(each) == {"p50", "p95", "p99"}
    assert DOCUMENT["overhead_ratio"] == 1.25


def test_keys_beyond_the_form_are_passed_over():
    # `energy_j` is in records of before.
    older = {**DOCUMENT, "comparison": {"tolerance": 0.1}, "energy_j": None}
    assert record_from_dict(older) == record()


def places(value, path=()):
    """Every place in a document, the inner ones too."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))


def changed(path, value):
    copy = json.loads(json.dumps(DOCUMENT))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copy


DERIVED = {("overhead_ratio",), ("conditions", "busy")}
"""Written for readers, computed anew when read."""
NAMES = {("versions", "mrnn-edge"), ("versions", "numpy")}


@pytest.mark.parametrize("path", [each for each in places(DOCUMENT) if each not in DERIVED | NAMES])
def test_every_key_is_needed_and_has_its_type(path):
    with pytest.raises(ValueError, match=path[-1]):
        record_from_dict(changed(path, None))
    for wrong in ({"an": "object"}, True):
        if path == ("versions",) and wrong == {"an": "object"}:
            continue
        with pytest.raises(ValueError, match=path[-1]):
            record_from_dict(changed(path, wrong))


@pytest.mark.parametrize("number", [0, -1.5, 1e999, 10**400])
@pytest.mark.parametrize(
    "path", [("stages_ms", "total", "p50"), ("cold_start_ms",), ("throughput_images_per_s",)]
)
def test_a_time_or_rate_is_finite_and_above_zero(path, number):
    with pytest.raises(ValueError, match=path[-1]):
        record_from_dict(changed(path, number))


def test_another_format_is_told_as_such(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**DOCUMENT, "format": 2}))
    with pytest.raises(BenchRecordError, match="its format is 2, expected 1"):
        read_record(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "null",
        '{"format": 1}',
        "[" * 100_000,
        json.dumps(DOCUMENT).replace("15.0", "NaN"),
        json.dumps(DOCUMENT).replace("15.0", "Infinity"),
        '{"format": true}',
        "\ufeff{}",
        '{"checks": []}',
    ],
)
def test_what_is_no_record_is_refused_with_its_path(tmp_path, text):
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(BenchRecordError, match="old.json is no record"):
        read_record(path)


def test_a_record_that_was_cut_off_anywhere_is_refused(tmp_path):
    path = tmp_path / "old.json"
    whole = json.dumps(DOCUMENT)
    for length in range(0, len(whole), 97):
        path.write_text(whole[:length])
        with pytest.raises(BenchRecordError):
            read_record(path)


def test_a_file_that_is_missing_a_folder_or_endless_is_refused(tmp_path):
    with pytest.raises(BenchRecordError, match="cannot be read"):
        read_record(tmp_path / "gone.json")
    with pytest.raises(BenchRecordError, match="cannot be read"):
        read_record(tmp_path)
    (tmp_path / "long.json").write_bytes(b" " * (2 << 20))
    with pytest.raises(BenchRecordError, match="more than"):
        read_record(tmp_path / "long.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(places(DOCUMENT))), JSON)
def test_any_value_in_any_place_is_a_record_or_a_value_error(path, value):
    document = changed(path, 0)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        found = record_from_dict(document)
    except ValueError:
        return
    assert record_from_dict(found.to_dict()) == found
