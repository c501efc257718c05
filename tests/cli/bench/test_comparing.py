"""Two records: what may be compared, what counts as worse, in which direction."""

from dataclasses import replace

import pytest
from benched import BUSY, MACHINE, SETTING, record, times
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.errors import BenchRecordError, OptionError
from mrnn_edge_cli.bench.comparing import compare, parse_tolerance, refuse_unlike

JUDGED = {
    "decode p50, ms", "encode p50, ms", "generate p50, ms", "total p50, ms", "step p50, ms",
    "encoder alone p50, ms", "greedy from array p50, ms", "throughput, images/s",
}  # fmt: skip


def with_stage(name, p50):
    return record(stages_ms={**record().stages_ms, name: times(p50)})


def regressions(old, new, tolerance=0.1):
    return compare(old, new, tolerance=tolerance).regressions


def test_a_record_beside_itself_has_no_regression_even_at_no_tolerance():
    assert regressions(record(), record(), tolerance=0.0) == []


def test_which_figures_are_judged_and_which_are_only_told():
    found = compare(record(), record(), tolerance=0.1).figures
    assert {each.name for each in found if each.judged} == JUDGED
    assert {each.name for each in found if not each.judged} == {
        "total p95, ms", "total p99, ms", "overhead ratio", "cold start, ms", "peak memory, MB",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("slower", "name"),
    [
        (with_stage("decode", 2.3), "decode p50, ms"),
        (with_stage("encode", 9.0), "encode p50, ms"),
        (with_stage("generate", 4.5), "generate p50, ms"),
        (with_stage("total", 17.0), "total p50, ms"),
        (record(step_ms=times(0.23)), "step p50, ms"),
        (record(encoder_only_ms=times(9.0)), "encoder alone p50, ms"),
        (record(array_ms=times(12.0)), "greedy from array p50, ms"),
        (record(throughput_images_per_s=90.0), "throughput, images/s"),
    ],
)
def test_each_judged_figure_alone_is_found_in_its_direction(slower, name):
    assert regressions(record(), slower) == [name]
    # The other way round it is an improvement, and no figure gets worse by one.
    assert regressions(slower, record()) == []


@pytest.mark.parametrize(
    "changes",
    [{"cold_start_ms": 6000.0}, {"rss_mb": 1500.0}],
)
def test_a_figure_that_is_only_told_is_no_regression(changes):
    found = compare(record(), record(**changes), tolerance=0.1)
    assert found.regressions == []
    assert any(each.change > 5 for each in found.figures)


def test_only_the_median_is_judged():
    spread = replace(times(15.0), p95=90.0, p99=200.0)
    worse = record(stages_ms={**record().stages_ms, "total": spread})
    assert regressions(record(), worse) == []


@pytest.mark.parametrize("percent", [0, 1, 5, 10, 33, 100])
def test_exactly_the_tolerance_is_within_it_and_a_hair_more_is_not(percent):
    share = percent / 100
    at, above = 15.0 * (1 + share), 15.0 * (1 + share) * 1.0001
    assert regressions(record(), with_stage("total", at), share) == []
    assert regressions(record(), with_stage("total", above), share) == ["total p50, ms"]
    slow = 100.0 / (1 + share)
    assert regressions(record(), record(throughput_images_per_s=slow), share) == []
    assert regressions(record(), record(throughput_images_per_s=slow * 0.9999), share) == [
        "throughput, images/s"
    ]


def test_a_product_that_rounds_down_makes_no_regression_of_the_tolerance_itself():
    assert 100.0 * (1.0 + 0.15) < 115.0
    assert regressions(with_stage("total", 100.0), with_stage("total", 115.0), 0.15) == []


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.floats(0, 2))
def test_a_time_is_worse_both_ways_never_and_the_change_tells_how_much(was, now, tolerance):
    old, new = with_stage("total", was), with_stage("total", now)
    there, back = regressions(old, new, tolerance), regressions(new, old, tolerance)
    assert not (there and back)
    (verdict,) = (
        each
        for each in compare(old, new, tolerance=tolerance).figures
        if each.name == "total p50, ms"
    )
    assert verdict.old * (1 + verdict.change) == pytest.approx(now)
    if verdict.regression:
        assert verdict.change > tolerance


def test_what_only_one_record_tells_is_left_out():
    found = compare(record(rss_mb=None), record(), tolerance=0.1)
    assert "peak memory, MB" not in {each.name for each in found.figures}


def test_a_memory_of_nothing_before_has_no_finite_change():
    found = {
        each.name: each
        for each in compare(record(rss_mb=0.0), record(rss_mb=1.0), tolerance=0.1).figures
    }
    assert found["peak memory, MB"].change == float("inf")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(SETTING, machine=replace(MACHINE, cpu="Another CPU")), "machine.cpu was Some CPU"),
        (replace(SETTING, machine=replace(MACHINE, cores=8)), "machine.cores was 4, is 8"),
        (
            replace(SETTING, machine=replace(MACHINE, system="Darwin arm64")),
            "machine.system was Linux x86_64, is Darwin arm64",
        ),
        (replace(SETTING, model="other"), "model was tiny-test, is other"),
        (replace(SETTING, device="cuda:0"), "device was cpu, is cuda:0"),
        (replace(SETTING, precision="int8"), "precision was float32, is int8"),
        (replace(SETTING, threads=1), "threads was 2, is 1"),
        (replace(SETTING, beam=1), "beam was 3, is 1"),
        (
            replace(SETTING, pictures="photo.jpg"),
            "pictures was built-in picture, 600 x 400, is photo.jpg",
        ),
    ],
)
def test_records_of_two_things_are_refused_with_what_differs(other, said):
    with pytest.raises(BenchRecordError) as refused:
        refuse_unlike(SETTING, other)
    assert said in str(refused.value)
    assert "--compare-anyway" in str(refused.value)
    # Overlooked on purpose, it is said all the same.
    forced = compare(record(), record(setting=other), tolerance=0.1)
    assert any(said in each for each in forced.differences)


def test_all_that_differs_is_told_at_once():
    other = replace(SETTING, model="other", threads=1)
    with pytest.raises(BenchRecordError, match=r"model was .*; threads was "):
        refuse_unlike(SETTING, other)


@pytest.mark.parametrize("changes", [{"release": "6.2"}, {"features": None}, {"board": "a board"}])
def test_a_new_kernel_is_no_other_machine(changes):
    newer = replace(SETTING, machine=replace(MACHINE, **changes))
    refuse_unlike(SETTING, newer)
    assert not compare(record(), record(setting=newer), tolerance=0.1).differences


def test_notes_tell_what_may_explain_a_change():
    new = record(
        versions={"mrnn-edge": "0.2.0", "onnxruntime": "1.30.0"},
        model_id="fedcba9876543210",
        words=12.0,
        conditions=BUSY,
    )
    notes = "\n".join(compare(record(), new, tolerance=0.1).notes)
    for said in (
        "mrnn-edge was 0.1.0, is 0.2.0",
        "onnxruntime was absent, is 1.30.0",
        "numpy was 2.0.0, is absent",
        "id was 0123456789abcdef, is fedcba9876543210",
        "words a caption were 10, are 12",
        "the machine was busy now: other processes took 1.20 cores",
    ):
        assert said in notes
    assert compare(record(), record(), tolerance=0.1).notes == ()
    assert "busy then" in compare(record(conditions=BUSY), record(), tolerance=0.1).notes[0]


def test_the_json_form_names_figures_and_regressions():
    document = compare(record(), with_stage("total", 30.0), tolerance=0.1).to_dict()
    assert document["regressions"] == ["total p50, ms"]
    (entry,) = (each for each in document["figures"] if each["name"] == "total p50, ms")
    assert entry == {
        "name": "total p50, ms", "old": 15.0, "new": 30.0, "judged": True, "regression": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "share"), [("10%", 0.1), ("0%", 0.0), ("2.5 %", 0.025), (" 200% ", 2.0)]
)
def test_a_tolerance_is_a_percentage(text, share):
    assert parse_tolerance(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["10", "0.1", "-5%", "nan%", "", "%", "1e9%", "ten%", "99999%"])
def test_what_is_no_percentage_is_refused(text):
    with pytest.raises(OptionError, match=r"expected a percentage such as 10%"):
        parse_tolerance(text)
