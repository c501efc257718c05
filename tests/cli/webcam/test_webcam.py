"""`mrnn-edge webcam` without a window: lines, records, log, subtitles, exit codes."""

import os

import pytest
import tiny
from conftest import noise_picture
from fake_cuda import fake_runtime
from videos import BLUE, GREEN, RED, records, write_video

from mrnn_edge_cli.app import run
from mrnn_edge_cli.webcam.view import View


@pytest.fixture
def model(tmp_path):
    return tiny.write(tmp_path / "model")


@pytest.fixture
def clip(tmp_path):
    """Three scenes that change at frames 20 and 40, ten frames a second."""
    return write_video(tmp_path / "clip.mp4", [(RED, 20), (BLUE, 20), (GREEN, 20)])


@pytest.fixture
def webcam(command, model):
    def run(*arguments, **wishes):
        return command("webcam", *arguments, "--headless", "--model", model, **wishes)

    return run


def test_a_video_gives_a_line_with_the_time_of_each_scene(webcam, clip):
    done = webcam(clip)
    assert done.returncode == 0
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [time for time, _ in lines] == ["0:00.00", "0:02.00", "0:04.00"]
    assert len({caption for _, caption in lines}) == 3
    assert done.stderr == "mrnn-edge: device cpu\n"


def test_records_tell_frame_time_age_dropped_and_skipped(webcam, clip):
    done = webcam(clip, "--ndjson", "--interval", "0")
    found = records(done.stdout)
    assert [record["frame"] for record in found] == [0, 20, 40]
    assert [record["time_s"] for record in found] == pytest.approx([0.0, 2.0, 4.0])
    assert [record["skipped"] for record in found] == [0, 19, 38]
    for record in found:
        assert record["file"] == str(clip)
        assert record["dropped"] == 0
        assert record["age_ms"] >= record["timing_ms"]["total"] > 0.0
        assert {"caption", "log2_prob", "confidence", "evidence", "words", "model"} <= set(record)
        assert record["beam"] == 3


def test_explain_adds_the_bits_of_each_word(webcam, clip):
    first = webcam(clip, "--explain").stdout.splitlines()[0].split("\t")
    assert first[3].endswith(" bits")
    assert len(first[4].split("  ")) == len(first[1].split())


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        (("--every", 7), [0, 21, 42]),
        (("--fps", 2), [0, 20, 40]),
        (("--interval", 1.5), [0, 30, 45]),
    ],
)
def test_fewer_frames_are_looked_at_by_wish(webcam, clip, options, frames):
    found = records(webcam(clip, "--ndjson", "--interval", "0", *options).stdout)
    assert [record["frame"] for record in found] == frames


def test_a_threshold_that_nothing_passes_gives_one_caption(webcam, clip):
    assert len(webcam(clip, "--change-threshold", "2").stdout.splitlines()) == 1


def test_a_caption_without_evidence_is_not_sure(webcam, clip):
    done = webcam(clip, "--min-confidence", "1")
    assert done.returncode == 0
    assert done.stdout == "0:00.00\tnot sure\n"


def test_a_deadline_is_in_the_records_as_the_beam_that_it_left(webcam, clip):
    found = records(webcam(clip, "--ndjson", "--deadline-ms", "0.001").stdout)
    assert {record["beam"] for record in found} == {1}


def test_a_folder_of_pictures_is_a_source(webcam, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        noise_picture(folder / f"{number}.jpg", seed=number)
    done = webcam(folder, "--interval", "0", "--ndjson")
    assert done.returncode == 0
    assert records(done.stdout)[0]["frame"] == 0
    (folder / "1.jpg").write_bytes(b"broken")
    done = webcam(folder, "--interval", "0")
    assert done.returncode == 3
    assert "1 of 3 pictures could not be read" in done.stderr


def test_the_log_holds_the_records_and_grows_over_runs(webcam, clip, tmp_path):
    log = tmp_path / "captions.ndjson"
    shown = records(webcam(clip, "--ndjson", "--log", log).stdout)
    refused = webcam(clip, "--log", log)
    assert refused.returncode == 2
    assert "--resume continues it, --force replaces it" in refused.stderr
    assert records(log.read_text()) == shown
    webcam(clip, "--log", log, "--resume")
    kept = records(log.read_text())
    assert kept[: len(shown)] == shown
    assert len(kept) == 2 * len(shown)
    webcam(clip, "--log", log, "--force")
    assert len(records(log.read_text())) == len(shown)


def test_a_full_disk_ends_the_log_and_not_the_captions(webcam, clip):
    done = webcam(clip, "--log", "/dev/full")
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr.count("the log ends here") == 1
    assert "captions continue" in done.stderr
    assert done.returncode == 1


def test_half_a_line_that_a_power_cut_left_in_the_log_spoils_no_record(webcam, clip, tmp_path):
    log = tmp_path / "captions.ndjson"
    log.write_text('{"file": "cl')
    shown = webcam(clip, "--ndjson", "--log", log, "--resume").stdout
    assert log.read_text() == '{"file": "cl\n' + shown


@pytest.mark.parametrize("option", ["--srt", "--vtt"])
def test_a_full_disk_ends_the_subtitles_and_not_the_captions(webcam, clip, option):
    done = webcam(clip, option, "/dev/full")
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr.count("the subtitles end here") == 1
    assert len(done.stderr.splitlines()) == 2  # the device first
    assert done.returncode == 1


def test_subtitles_close_each_cue_where_the_next_begins(webcam, clip, tmp_path):
    srt, vtt = tmp_path / "out.srt", tmp_path / "out.vtt"
    done = webcam(clip, "--srt", srt, "--vtt", vtt, "--no-repeat-ngram", 0)
    captions = [line.partition("\t")[2] for line in done.stdout.splitlines()]
    cues = [cue.split("\n") for cue in srt.read_text().strip().split("\n\n")]
    assert [cue[0] for cue in cues] == ["1", "2", "3"]
    assert [cue[1] for cue in cues] == [
        "00:00:00,000 --> 00:00:02,000",
        "00:00:02,000 --> 00:00:04,000",
        "00:00:04,000 --> 00:00:06,000",
    ]
    assert [cue[2] for cue in cues] == captions
    assert vtt.read_text().startswith("WEBVTT\n\n1\n00:00:00.000 --> 00:00:02.000\n")


def test_subtitles_are_for_files(webcam, tmp_path):
    done = webcam("rtsp://127.0.0.1/x", "--srt", tmp_path / "x.srt")
    assert done.returncode == 2
    assert "are for files" in done.stderr


def test_no_such_file_text_as_a_video_and_half_a_video_end_with_6(webcam, clip, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video, only words\n" * 50)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    half = tmp_path / "half.mp4"
    half.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    for path, message in (
        (tmp_path / "missing.mp4", "no such file"),
        (text, "looks like text; expected a video"),
        (empty, "is empty"),
        (half, "cut off"),
        (tmp_path / "none.png", "no picture found"),
        ("/dev/null", "not a regular file"),
    ):
        done = webcam(path)
        assert done.returncode == 6, path
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""


def test_a_camera_that_is_not_there_ends_with_6_and_says_what_is(webcam):
    done = webcam("61")
    assert done.returncode == 6
    assert "no camera there" in done.stderr
    assert "doctor" in done.stderr
    assert len(done.stderr.splitlines()) == 2  # the device first


def test_a_password_is_in_no_message_record_or_log(webcam, tmp_path):
    log = tmp_path / "log"
    done = webcam("rtsp://user:secret@127.0.0.1:1/x?key=secret", "--ndjson", "--log", log)
    assert done.returncode == 6
    (record,) = records(done.stdout)
    assert record["error"]["type"] == "CameraUnavailableError"
    assert records(log.read_text()) == [record]
    for text in (done.stdout, done.stderr, log.read_text()):
        assert "secret" not in text
        assert "rtsp://***@127.0.0.1:1/x?key=***" in text


@pytest.mark.parametrize(
    "options",
    [
        ("--interval", "-1"),
        ("--change-threshold", "3"),
        ("--fps", "0"),
        ("--fps", "2", "--every", "2"),
        ("--stall-timeout", "0"),
        ("--temperature", "2"),
        ("--deadline-ms", "5", "--sample"),
        ("--speak-cmd", "no-such-program-anywhere"),
        ("--speak-cmd", "'"),
    ],
)
def test_wishes_out_of_range_are_usage_errors(webcam, clip, options):
    done = webcam(clip, *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "wrong", [("--speak-cmd", "no-such-program-anywhere"), ("--record", "out.xyz")]
)
def test_a_wrong_wish_is_told_before_an_output_is_emptied(webcam, clip, tmp_path, wrong):
    srt, log = tmp_path / "out.srt", tmp_path / "log"
    srt.write_text("work of yesterday")
    assert webcam(clip, "--srt", srt, "--log", log, *wrong).returncode == 2
    assert srt.read_text() == "work of yesterday"
    assert not log.exists()


def test_quiet_says_nothing_but_errors(webcam, clip):
    assert webcam(clip, "--quiet").stderr == ""


def test_without_opencv_the_command_names_the_extra(webcam, clip, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cv2.py").write_text("raise ImportError('not here')\n")
    path = os.pathsep.join([str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")])
    done = webcam(clip, env={"PYTHONPATH": path})
    assert done.returncode == 2
    assert "pip install 'mrnn-edge[camera]'" in done.stderr
    assert "camera-headless" in done.stderr


def test_captions_are_spoken_one_at_a_time_and_the_last_in_any_case(webcam, clip, tmp_path):
    said = tmp_path / "said"
    speak = tmp_path / "speak"
    speak.write_text(f"#!/bin/sh\necho begin >> {said}\nsleep 0.5\ncat >> {said}\n")
    speak.chmod(0o755)
    done = webcam(clip, "--speak-cmd", f"{speak} -x")
    captions = [line.partition("\t")[2] for line in done.stdout.splitlines()]
    spoken = said.read_text().splitlines()
    # A file is read as fast as can be: which others come in time, even the first, hangs on the
    # machine; which ones wait is tested in test_speech.py.
    assert len(captions) == 3
    assert spoken[0::2] == ["begin"] * len(spoken[1::2])
    places = [captions.index(each) for each in spoken[1::2]]
    assert places == sorted(set(places))
    assert places[-1] == 2
    assert done.returncode == 0


def test_a_program_that_fails_to_speak_is_told_once_and_captions_go_on(webcam, clip):
    done = webcam(clip, "--speak-cmd", "false")
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr.count("--speak-cmd: false") == 1
    assert done.returncode == 1


def test_a_recording_names_both_devices_of_a_mixture(clip, bundle, monkeypatch, tmp_path):
    shown = []

    class Shown(View):
        def __init__(self, *arguments, device, **wishes):
            shown.append(device)
            super().__init__(*arguments, device=device, **wishes)

    fake_runtime(monkeypatch)
    monkeypatch.setattr("mrnn_edge_cli.webcam.view.View", Shown)
    record = tmp_path / "shown.mp4"
    line = f"mrnn-edge webcam {clip} --headless --record {record} --model {bundle} --device cuda -q"
    monkeypatch.setattr("sys.argv", line.split())
    assert run() == 0
    assert shown == ["cuda:0"]
    assert record.exists()
