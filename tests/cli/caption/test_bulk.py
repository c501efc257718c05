"""`mrnn-edge caption` over many files: lists, formats, files gone on with, sidecars, stops."""

import contextlib
import csv
import errno
import io
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest
import tiny
from conftest import noise_picture
from foreground import COMMAND

from mrnn_edge_cli.app import run

KILLS = int(os.environ.get("MRNN_EDGE_KILLS", "3"))
"""Rounds of kill -9; the figures of docs/bulk.md are of 100."""


@pytest.fixture
def model(tmp_path):
    return tiny.write(tmp_path / "model")


@pytest.fixture
def photos(tmp_path):
    """Ten files that can go wrong by their names, two of them no pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    names = ["-dash", "=1+1", "a b", "new\nline", "é", "comma,", 'quote"', os.fsdecode(b"\xff")]
    for number, name in enumerate(names):
        noise_picture(folder / f"{name}.png", seed=number)
    (folder / "broken.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    return folder


def timeless(text):
    return re.sub(r'"timing_ms": \{[^}]*\}', "", text)


def files_of(photos):
    names = sorted(os.listdir(photos), key=os.fsencode)
    return [f"photos/{name}" for name in names]


def test_ndjson_is_a_record_a_line_with_the_very_names(command, model, photos):
    done = command("caption", "-r", "photos", "--ndjson", "--model", model)
    assert done.returncode == 3
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["file"] for record in records] == files_of(photos)
    assert sum("error" in record for record in records) == 2
    summary = done.stderr.splitlines()[-1]
    assert summary.startswith("mrnn-edge: 8 of 10 pictures captioned, 2 failed, ")


def test_json_and_ndjson_hold_the_same_records(command, model, photos):
    array = command("caption", "-r", "photos", "--json", "--model", model).stdout
    lines = command("caption", "-r", "photos", "--ndjson", "--model", model).stdout
    records = [json.loads(line) for line in lines.splitlines()]
    for record in (*records, *(array := json.loads(array))):
        record.pop("timing_ms", None)
    assert array == records


def test_csv_opens_as_a_table(command, model, photos):
    done = command("caption", "-r", "photos", "--csv", "-o", "out.csv", "--model", model)
    assert (done.returncode, done.stdout) == (3, "")
    text = (photos.parent / "out.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 10
    # In the order of the names' bytes; a byte that is no UTF-8 is spelled out.
    assert [row["file"] for row in rows] == [
        name.replace("\udcff", "\\udcff") for name in files_of(photos)
    ]
    for row in rows:
        assert bool(row["caption"]) != bool(row["error"])


def test_plain_text_to_a_file_names_every_picture(command, model, picture, captioner, tmp_path):
    command("caption", picture, "-o", "out.txt", "--model", model)
    expected = f"{picture}\t{captioner.caption(picture).text}\n"
    assert (tmp_path / "out.txt").read_text() == expected


@pytest.mark.parametrize(("option", "separator"), [([], b"\n"), (["-0"], b"\0")])
def test_a_list_of_files_from_a_file_or_standard_input(
    command, model, photos, tmp_path, option, separator
):
    names = [name for name in files_of(photos) if separator != b"\n" or "\n" not in name]
    (tmp_path / "list").write_bytes(separator.join(map(os.fsencode, names)) + separator)
    base = ["caption", "--ndjson", "--model", model, *option, "--from-file"]
    from_file = command(*base, "list").stdout
    from_stdin = command(*base, "-", stdin=tmp_path / "list").stdout
    assert [json.loads(line)["file"] for line in from_file.splitlines()] == names
    assert timeless(from_file) == timeless(from_stdin)


def test_a_list_names_files_and_no_patterns(command, model, tmp_path):
    noise_picture(tmp_path / "a1.png")
    (tmp_path / "list").write_text("a[1].png\na**.png\na1.png\n")
    done = command("caption", "--from-file", "list", "--ndjson", "--model", model)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["file"] for record in records] == ["a[1].png", "a**.png", "a1.png"]
    assert ["error" in record for record in records] == [True, True, False]


def test_suffixes_and_patterns_choose(command, model, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.bmp", "c.PNG"):
        noise_picture(tmp_path / "in" / name)
    done = command("caption", "-r", "in", "--ext", "png", "--model", model)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["in/a.png", "in/c.PNG"]
    done = command("caption", "in/*.[bp]*", "--model", model)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["in/a.png", "in/b.bmp"]


def test_fail_fast_ends_at_the_first_that_fails(command, model, tmp_path):
    for number in range(30):
        noise_picture(tmp_path / f"{number:02}.png", seed=number)
    (tmp_path / "05.png").write_text("no picture")
    done = command(
        "caption", "-r", ".", "--ext", "png", "--ndjson", "--fail-fast", "--model", model
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3
    assert len(records) == 6
    assert "error" in records[5]
    assert "24 left" in done.stderr


def test_sidecars_stand_beside_their_pictures_and_others_stay(command, model, photos, captioner):
    theirs = photos / "a b.png.xmp"
    theirs.write_text("not ours")
    done = command("caption", "-r", "photos", "--sidecar", "--xmp", "--model", model)
    assert done.returncode == 3
    assert "a b.png.xmp was not written by mrnn-edge" in done.stderr
    assert "1 sidecars not written" in done.stderr
    assert theirs.read_text() == "not ours"
    caption = captioner.caption(photos / "a b.png").text
    assert (photos / "a b.png.txt").read_text() == caption + "\n"
    assert not list(photos.glob("broken.jpg.*"))
    assert len(list(photos.glob("*.txt"))) == 8
    done = command("caption", "-r", "photos", "--xmp", "--force", "--model", model)
    assert caption in theirs.read_text()


def test_an_output_is_gone_on_with_and_nothing_is_done_twice(command, model, photos, tmp_path):
    base = ["caption", "-r", "photos", "--ndjson", "--model", model, "-o"]
    command(*base, "whole")
    whole = (tmp_path / "whole").read_text()
    (tmp_path / "half").write_text(whole[: len(whole) // 2])
    (tmp_path / "half.run.json").write_bytes((tmp_path / "whole.run.json").read_bytes())
    done = command(*base, "half", "--resume")
    assert timeless((tmp_path / "half").read_text()) == timeless(whole)
    assert re.search(r"\d had been written before", done.stderr)
    done = command(*base, "half", "--resume")
    # Nothing is left to do, and two of them have failed all the same.
    assert (done.returncode, "0 of 0" in done.stderr) == (3, True)
    before = (tmp_path / "half").read_bytes()
    for change in (
        ["--beam", 5],
        ["--xmp"],
        ["--max-words", 4],
        ["--allow-truncated"],
        ["--prefix", "a"],
    ):
        done = command(*base, "half", "--resume", *change)
        assert done.returncode == 2
        assert "was started with other settings" in done.stderr
    assert (tmp_path / "half").read_bytes() == before
    noise_picture(photos / "added.png")
    done = command(*base, "half", "--resume")
    assert "1 of 1 pictures captioned" in done.stderr
    assert (tmp_path / "half").read_bytes().startswith(before)


def test_a_file_that_is_listed_twice_is_written_twice_after_a_stop_too(
    command, model, picture, tmp_path
):
    base = ["caption", picture, picture, picture, "--ndjson", "--model", model, "-o", "out"]
    command(*base)
    whole = (tmp_path / "out").read_text()
    (tmp_path / "out").write_text("".join(whole.splitlines(keepends=True)[:1]))
    command(*base, "--resume")
    assert timeless((tmp_path / "out").read_text()) == timeless(whole)
    assert len(whole.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no picture was named"),
        (["a.png", "--resume"], "name it with --output"),
        (["a.png", "--json", "-o", "o", "--resume"], "a JSON array cannot be continued"),
        (["a.png", "-o", "o", "--resume", "--html", "p"], "leave out --html or --resume"),
        (["a.png", "--json", "--csv"], "--json and --csv are different formats"),
        (["a.png", "--ndjson", "--explain"], "--ndjson and --explain"),
        (["a.png", "--ext", "png"], "needs -r"),
        (["-r", ".", "--ext", "p*g"], "is not a file suffix"),
        (["a.png", "-0"], "goes with --from-file"),
        (["-", "--from-file", "-"], "standard input can be one of them"),
        (["-", "--sidecar"], "standard input can have no sidecar"),
        (["a.png", "-o", "no/folder/o"], "there is no folder"),
        (["--from-file", "/dev/null/x"], "the list cannot be read"),
        (["a.png", "-o", "o", "--html", "./o"], "is the file of --output too"),
        (["a/**/b.png"], "name the folder with -r"),
    ],
)
def test_calls_that_cannot_be_meant_are_refused(command, model, arguments, message):
    done = command("caption", *arguments, "--model", model)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_page_that_cannot_be_costs_no_output_of_before(command, model, picture, tmp_path):
    (tmp_path / "o").write_text("of before")
    places = ["-o", "o", "--force", "--html", "no/folder/page.html"]
    done = command("caption", picture, "--model", model, *places)
    assert done.returncode == 2
    assert (tmp_path / "o").read_text() == "of before"


def test_an_output_whose_reader_has_gone_ends_with_141(model, picture):
    command = [*COMMAND, "caption", str(picture), "--model", str(model), "-o", "/dev/stdout"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr


def start(folder, model, *arguments, **pipes):
    """The command over a folder, as a process in the foreground of a terminal would be."""
    command = [*COMMAND, "caption", "-r", str(folder), "--model", str(model)]
    return subprocess.Popen([*command, "--ndjson", *map(str, arguments)], **pipes)


def links(folder, count):
    """A folder of so many links to a few pictures."""
    pictures = [noise_picture(folder / f"p{number}.bmp", seed=number) for number in range(7)]
    (folder / "in").mkdir()
    for number in range(count):
        (folder / "in" / f"{number:04}.bmp").symlink_to(pictures[number % 7])
    return folder / "in"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Enough of them that a run takes a while."""
    return links(tmp_path_factory.mktemp("many"), 900)


@pytest.fixture(scope="module")
def more(tmp_path_factory):
    """So many that no run gets to the last before it is stopped, however busy the machine is."""
    return links(tmp_path_factory.mktemp("more"), 9000)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_between_batches_with_whole_records_and_a_summary(
    model, more, tmp_path, number, code
):
    out = tmp_path / "out"
    process = start(more, model, "-o", out, stderr=subprocess.PIPE)
    wait_for(out)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    lines = out.read_text().splitlines()
    assert process.returncode == code
    assert 0 < len(lines) < 9000
    assert len(lines) % 4 == 0
    assert [json.loads(line)["file"] for line in lines] == [
        str(more / f"{place:04}.bmp") for place in range(len(lines))
    ]
    assert f"{9000 - len(lines):,} left" in errors.decode()
    assert "Traceback" not in errors.decode()


def test_an_array_that_is_stopped_is_still_json(model, more, tmp_path):
    out = tmp_path / "out"
    command = [*COMMAND, "caption", "-r", str(more), "--model", str(model)]
    process = subprocess.Popen([*command, "--json", "-o", str(out)], stderr=subprocess.DEVNULL)
    wait_for(out)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert 0 < len(json.loads(out.read_text())) < 9000


def wait_for(out):
    for _ in range(3000):
        if out.exists() and out.stat().st_size:
            return
        time.sleep(0.01)
    raise AssertionError("nothing was written in 30 s")


def test_killed_at_any_moment_and_resumed_it_is_the_run_that_was_never_killed(
    model, many, tmp_path
):
    chance = random.Random(4)
    whole = tmp_path / "whole"
    begin = time.monotonic()
    assert start(many, model, "-o", whole, "--quiet").wait(timeout=120) == 0
    spent = time.monotonic() - begin
    kills = 0
    for number in range(KILLS):
        out = tmp_path / f"out{number}"
        while True:
            process = start(many, model, "-o", out, "--resume", "--quiet")
            try:
                process.wait(timeout=chance.uniform(0.2, 1.0) * spent)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        assert process.returncode == 0
        assert timeless(out.read_text()) == timeless(whole.read_text())
    assert kills >= KILLS // 2


def test_a_terminal_sees_a_bar_with_rate_and_time_left_and_the_data_stays_clean(
    model, many, tmp_path
):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [*COMMAND, "caption", "-r", str(many), "--ndjson", "--model", str(model)]
    with open(tmp_path / "out", "wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
        )
    os.close(theirs)
    shown = b""
    # Linux ends the reading of a terminal that everybody has left with an error.
    with contextlib.suppress(OSError):
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert process.wait(timeout=60) == 0
    records = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [record["file"] for record in records] == [str(path) for path in sorted(many.iterdir())]
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode(errors="replace"))
    assert re.search(r"caption .* \d+/900 +[\d,]+\.\d/s +0:00:\d\d", text)
    assert "900 of 900 pictures captioned" in text


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (OSError(errno.ENAMETOOLONG, "File name too long"), False),
    ],
)
def test_a_sidecar_that_cannot_be_written_costs_itself_and_a_full_disk_the_run(
    model, picture, tmp_path, monkeypatch, capsys, error, fatal
):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("mrnn_edge_cli.caption.sidecar.replacing", refuse)
    arguments = [str(picture), "--model", str(model), "--xmp", "-o", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["mrnn-edge", "caption", *arguments])
    assert run() == (1 if fatal else 3)
    assert error.strerror in capsys.readouterr().err
    # The picture has its caption all the same, unless nothing can be written any more.
    assert (tmp_path / "out").read_text().count("\n") == (0 if fatal else 1)
