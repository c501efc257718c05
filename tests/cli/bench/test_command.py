"""`mrnn-edge bench` from outside: the record, the lines, the page, comparisons, exit codes."""

import json
from html.parser import HTMLParser

import benched
import pytest
import tiny

from mrnn_edge_cli.bench.comparing import compare
from mrnn_edge_cli.bench.html_report import page

TIMES = ("stages_ms", "step_ms", "encoder_only_ms", "array_ms")


@pytest.fixture
def model(tmp_path):
    return tiny.write(tmp_path / "model")


@pytest.fixture
def bench(command, model):
    def run(*arguments):
        fixed = ("--runs", 3, "--threads", 1, "--device", "cpu")
        return command("bench", "--model", model, *fixed, *arguments)

    return run


def scaled(document, factor):
    """The same record, every time times the factor and the rate divided by it."""
    copy = json.loads(json.dumps(document))
    for key in TIMES:
        groups = copy[key].values() if key == "stages_ms" else [copy[key]]
        for group in groups:
            for percentile in group:
                group[percentile] *= factor
    copy["throughput_images_per_s"] /= factor
    return copy


class Seen(HTMLParser):
    """What a page holds: its tags, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_json_is_one_record_and_what_comes_after_compares_with_it(bench, tmp_path):
    done = bench("--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    for key in (
        "machine", "versions", "model", "device", "precision", "threads", "runs", "stages_ms",
        "step_ms", "encoder_only_ms", "overhead_ratio", "cold_start_ms",
        "throughput_images_per_s", "rss_mb",
    ):  # fmt: skip
        assert key in document
    assert list(document["stages_ms"]) == ["decode", "encode", "generate", "total"]
    for stage in document["stages_ms"].values():
        assert 0 < stage["p50"] <= stage["p95"] <= stage["p99"]
    assert (document["model"], document["threads"], document["runs"]) == ("tiny-test", 1, 3)
    assert document["pictures"] == "built-in picture, 600 x 400"
    assert document["affinity"] is None or len(document["affinity"]) == 1

    # Beside a record a thousand times slower nothing is worse, whatever this machine does.
    (tmp_path / "old.json").write_text(json.dumps(scaled(document, 1000)))
    done = bench("--compare", "old.json", "--tolerance", "20%", "--html", "page.html")
    assert done.returncode == 0
    assert "WORSE" not in done.stdout
    assert "total p50, ms" in done.stdout
    assert "Compared with the old record" in Seen((tmp_path / "page.html").read_text()).text

    # Beside one a thousand times faster all times are worse.
    (tmp_path / "old.json").write_text(json.dumps(scaled(document, 0.001)))
    done = bench("--compare", "old.json", "--json")
    assert done.returncode == 7
    found = json.loads(done.stdout)["comparison"]
    assert "throughput, images/s" in found["regressions"]
    assert "total p50, ms" in found["regressions"]
    assert "peak memory, MB" not in found["regressions"]
    assert "mrnn-edge: worse by more than" in done.stderr

    # A record of another machine: refused before anything is measured, or said where forced.
    other = {**document, "machine": {**document["machine"], "cpu": "Another CPU"}}
    (tmp_path / "old.json").write_text(json.dumps(scaled(other, 1000)))
    done = bench("--compare", "old.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "machine.cpu was Another CPU" in done.stderr
    assert "measuring" not in done.stderr
    done = bench("--compare", "old.json", "--compare-anyway")
    assert done.returncode == 0
    assert "different: machine.cpu was Another CPU" in done.stdout


def test_the_lines_tell_the_circumstances_and_every_figure(bench, picture):
    done = bench(picture, "--beam", "1", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    for said in (
        "tiny-test (0123456789abcdef), float32 on cpu",
        "noise.jpg, sha256 ",
        "rounds      3, after a warm-up of ",
        "one step of 1 hypothesis ",
        "overhead ratio",
        "cold start",
        "images/s",
        "peak memory",
    ):
        assert said in done.stdout
    assert str(picture.parent) not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--threads", "0"), 2, "--threads"),
        (("--runs", "0"), 2, "--runs"),
        (("--precision", "int8"), 2, "has no int8 graphs"),
        (("--tolerance", "5%"), 2, "go with --compare"),
        (("--compare-anyway",), 2, "go with --compare"),
        (("--compare", "gone.json"), 2, "cannot be read"),
        (("--compare", "half.json"), 2, "is no record"),
        (("--compare", "half.json", "--tolerance", "0.1"), 2, "expected a percentage such as 10%"),
        (("--html", "nowhere/page.html"), 2, "there is no folder"),
        (("gone.jpg",), 3, "No such file"),
        (("text.jpg",), 3, "looks like text"),
        (("--model", "nowhere"), 4, "is neither a model name nor a folder"),
        (("--device", "cuda"), 5, "has no CUDA"),
        (("--device", "tpu"), 2, "expected auto, cpu, cuda"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_its_exit_code(
    command, model, tmp_path, arguments, code, said
):
    (tmp_path / "half.json").write_text('{"format": 1, "machine": {"cpu"')
    (tmp_path / "text.jpg").write_text("no picture at all")
    done = command("bench", "--model", model, "--device", "cpu", "--quiet", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "page.html").exists()


def test_a_damaged_model_ends_with_4(bench, model):
    (model / "step.onnx").write_bytes(b"damage")
    done = bench()
    assert (done.returncode, done.stdout) == (4, "")


# The page


def test_the_page_holds_every_number_of_the_record():
    record = benched.record(rss_mb=151.0)
    seen = Seen(page(record, None))
    for each in (*record.stages_ms.values(), record.step_ms, record.array_ms):
        for ms in (each.p50, each.p95, each.p99):
            assert f"{ms:.2f}" in seen.text
    for said in ("1.250", "600 ms", "100.0 images/s", "151 MB", "Some CPU", "AVX2"):
        assert said in seen.text
    assert "quiet: others took 0.01 cores" in seen.text


def test_a_page_shows_an_empty_value_as_it_is():
    text = page(benched.record(versions={}), None)
    assert "<tr><th>versions</th><td></td></tr>" in text


def test_nothing_that_a_record_says_becomes_a_tag_and_nothing_is_fetched():
    evil = "<script>alert(1)</script><img src=x>&\"'"
    setting = benched.replace(benched.SETTING, model=evil, pictures=evil, device=evil)
    record = benched.record(setting=setting, versions={evil: evil}, model_id=evil)
    text = page(record, compare(record, benched.record(), tolerance=0.1))
    seen = Seen(text)
    assert evil in seen.text
    tags = {tag for tag, _ in seen.tags}
    assert not tags & {"script", "img", "link", "iframe"}
    for _, attributes in seen.tags:
        assert not {"src", "href", "onload"} & set(attributes)
    assert "default-src 'none'" in text


def test_a_busy_machine_is_marked_on_the_page():
    quiet = Seen(page(benched.record(), None))
    busy = Seen(page(benched.record(conditions=benched.BUSY), None))
    assert ("td", {"class": "bad"}) in busy.tags
    assert ("td", {"class": "bad"}) not in quiet.tags
    assert "BUSY: other processes took 1.20 cores" in busy.text


def test_the_page_tells_what_became_worse():
    slower = benched.record(throughput_images_per_s=50.0)
    seen = Seen(page(slower, compare(benched.record(), slower, tolerance=0.1)))
    assert "1 of the judged figures are worse" in seen.text
    assert "-50.0%" in seen.text
