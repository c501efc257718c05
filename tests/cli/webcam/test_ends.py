"""How `mrnn-edge webcam` ends that is not let come to its end: signals, readers, limits, disks."""

import resource
import signal
import subprocess
import sys
import time

import pytest
import tiny
from videos import BLUE, GREEN, RED, read_video, write_video


@pytest.fixture
def model(tmp_path):
    return tiny.write(tmp_path / "model")


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "clip.mp4", [(RED, 20), (BLUE, 20), (GREEN, 20)])


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """A scene, then another for an hour and a half, which take a while to look at."""
    path = tmp_path_factory.mktemp("long") / "long.avi"
    return write_video(path, [(RED, 10), (BLUE, 60_000)], size=(64, 48))


def headless(model, clip):
    """The command that prints a clip's captions."""
    command = [sys.executable, "-m", "mrnn_edge_cli", "webcam", str(clip)]
    return [*command, "--headless", "--model", str(model), "--quiet"]


COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from mrnn_edge_cli import main
main()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("film", [(), ("--record", "out.mp4")])
def test_a_signal_closes_what_is_open_and_ends_with_its_code(
    model, long_clip, tmp_path, number, code, film
):
    srt = tmp_path / "out.srt"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            COMMAND,
            "webcam",
            str(long_clip),
            "--headless",
            "--interval",
            "0",
            "--no-repeat-ngram",
            "0",
            "--model",
            str(model),
            "--srt",
            str(srt),
            *film,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    assert b"Traceback" not in errors
    assert srt.read_text().count("-->") == 2
    if film:
        assert len(read_video(tmp_path / "out.mp4")) > 10


def test_a_reader_of_the_pipe_that_has_gone_ends_it_with_141(model, clip):
    process = subprocess.Popen(
        headless(model, clip),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 141
    assert errors == b""


def test_a_full_disk_behind_standard_output_ends_with_1(model, clip):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            headless(model, clip),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert b"check the disk" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_log_that_may_not_grow_any_more_ends_alone(model, clip, tmp_path):
    done = subprocess.run(
        [*headless(model, clip), "--log", str(tmp_path / "log")],
        capture_output=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 3
    assert b"the log ends here" in done.stderr
