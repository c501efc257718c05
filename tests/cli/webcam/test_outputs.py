"""No output of `mrnn-edge webcam` destroys the source or another output."""

import os
from pathlib import Path

import pytest
from fake_capture import colour
from PIL import Image

from mrnn_edge.errors import OptionError
from mrnn_edge_cli.webcam.outputs import check_outputs

OPTIONS = ("--srt", "--vtt", "--log", "--record")


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"film")
    return path


@pytest.mark.parametrize("option", OPTIONS)
def test_the_source_is_no_output_by_whatever_name(clip, tmp_path, option):
    (tmp_path / "folder").mkdir()
    soft, hard = tmp_path / "soft.mp4", tmp_path / "hard.mp4"
    soft.symlink_to(clip)
    os.link(clip, hard)
    for name in (clip, soft, hard, tmp_path / "folder" / ".." / "clip.mp4"):
        with pytest.raises(OptionError, match=f"{option} .* is the source itself"):
            check_outputs(str(clip), {option: name})


def test_two_outputs_are_not_one_file_even_before_it_is_there(clip, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "new")
    for name in (tmp_path / "new", link):
        with pytest.raises(OptionError, match="--log .* is the file of --srt too"):
            check_outputs(str(clip), {"--srt": tmp_path / "new", "--log": name})


@pytest.mark.parametrize("source", [".", "%d.png"])
def test_a_picture_of_a_sequence_is_no_output(tmp_path, source):
    Image.fromarray(colour(1, 2, 3)).save(tmp_path / "0.png")
    with pytest.raises(OptionError, match="is the source itself"):
        check_outputs(str(tmp_path / source), {"--log": tmp_path / "0.png"})


def test_files_of_their_own_and_devices_are_fine(clip, tmp_path):
    check_outputs(str(clip), {option: tmp_path / option for option in OPTIONS} | {"--vtt": None})
    check_outputs("0", {option: Path("/dev/null") for option in OPTIONS})


@pytest.mark.parametrize("option", OPTIONS)
def test_the_command_leaves_its_source_whole(command, bundle, clip, option):
    done = command("webcam", clip, "--headless", "--model", bundle, option, clip)
    assert done.returncode == 2
    assert "is the source itself" in done.stderr
    assert clip.read_bytes() == b"film"


@pytest.mark.parametrize("name", ["nowhere/out.mp4", "folder.mp4"])
def test_an_output_that_cannot_be_written_is_told_before_another_is_emptied(
    command, bundle, clip, tmp_path, name
):
    (tmp_path / "folder.mp4").mkdir()
    srt, log = tmp_path / "keep.srt", tmp_path / "log"
    srt.write_text("work of yesterday")
    done = command(
        "webcam", clip, "--headless", "--model", bundle, "--srt", srt, "--log", log,
        "--record", tmp_path / name,
    )  # fmt: skip
    assert done.returncode == 1
    assert str(tmp_path / name) in done.stderr
    assert "Traceback" not in done.stderr
    assert srt.read_text() == "work of yesterday"
    assert not log.exists()


def test_an_output_without_permission_is_told(clip, tmp_path, monkeypatch):
    refused = tmp_path / "refused"
    monkeypatch.setattr("os.access", lambda path, _: str(path) != str(refused))
    refused.touch()
    with pytest.raises(PermissionError, match="refused"):
        check_outputs(str(clip), {"--log": refused})
    refused.unlink()
    refused.mkdir()
    with pytest.raises(PermissionError, match="new"):
        check_outputs(str(clip), {"--srt": tmp_path / "ok", "--log": refused / "new"})
