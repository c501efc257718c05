"""The README's figures of speed are those of the records beside them, never typed."""

import importlib.util

import benched
import pytest


@pytest.fixture(scope="module")
def report(root):
    spec = importlib.util.spec_from_file_location("report", root / "benchmarks" / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peers(**changes):
    times = {"p50": 10.0, "p95": 11.0, "p99": 12.0, "min": 9.0, "runs": 7}
    peer = {
        "name": "BLIP-base", "parameters": 247_000_000, "pixels": 384, "beam": 3,
        "greedy_ms": {**times, "p50": 1500.0}, "default_ms": {**times, "p50": 2400.0},
        "ratio": 240.0, "limit": 150.0, "met": True,
    }  # fmt: skip
    names = ("array_greedy", "array_default", "file_default", "encoder_bare")
    whole = {
        "model": "tiny-test", "precision": "float32", "threads": 2, "tokens": 12, "rounds": 7,
        "versions": {"transformers": "5.0", "torch": "2.0"}, "words": {"default": 13, "greedy": 12},
        "ours_ms": dict.fromkeys(names, times), "peers": [peer], "conditions": {"busy": False},
    }  # fmt: skip
    return {**whole, **changes}


def record(**changes):
    return benched.record(versions={"onnxruntime": "1.30.0"}, **changes)


def test_the_table_in_the_readme_is_the_one_that_the_command_writes(report, root):
    figures = root / "docs" / "figures"
    found = report.read_record(figures / "bench.json")
    others = report.read_peers(figures)
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert report.with_table(readme, report.readme_table(found, others)) == readme


def test_only_what_lies_between_the_markers_is_replaced(report):
    readme = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.with_table(readme, "new") == readme.replace("old", "new")
    for broken in ("no markers", f"{report.BEGIN} only", f"{report.END} only"):
        with pytest.raises(SystemExit, match="lacks"):
            report.with_table(broken, "new")


def test_the_table_tells_every_median_and_what_it_was_measured_on(report):
    found = report.readme_table(record(), peers())
    rows = [line.split(" | ") for line in found.splitlines() if line.startswith("| ")]
    shown = {row[0].removeprefix("| "): row[1] for row in rows}
    assert shown["decode the file"] == "2"
    assert shown["total, file to caption"] == "15"
    assert shown["BLIP-base, 247 M parameters"] == "1500"
    for said in ("Some CPU", "AVX2", "1.30.0", "1.25 times", "600 ms", "100 images", "240"):
        assert said in found
    assert "busy" not in found


def test_figures_of_a_busy_machine_say_so_in_the_readme(report):
    assert "**Measured on a busy machine**" in report.readme_table(
        record(conditions=benched.BUSY), None
    )
    assert "busy" in report.readme_table(record(), peers(conditions={"busy": True}))
