"""Videos, sequences and frames of the caller: every frame, in order, with its time."""

import numpy as np
import pytest
from fake_capture import FakeCapture, colour, until_error
from PIL import Image

from mrnn_edge.camera.files import GivenFrames, PictureSequence, VideoFile, list_pictures
from mrnn_edge.camera.frames import Frame, Selection
from mrnn_edge.errors import (
    CameraUnavailableError,
    ImageInputError,
    OptionError,
    TruncatedVideoError,
)

PICTURE = colour(10, 20, 30)


def video(capture: FakeCapture, **selection) -> VideoFile:
    return VideoFile("clip", lambda: capture, selection=Selection(**selection))


def numbers(source) -> list[int]:
    return [frame.number for frame in source.frames(tick=1.0)]


def test_a_file_gives_every_frame_at_its_time():
    frames = list(video(FakeCapture([PICTURE] * 5, rate=10.0)).frames(tick=1.0))
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert all(frame.dropped == 0 for frame in frames)


def test_every_third_frame_is_decoded_and_no_other():
    capture = FakeCapture([PICTURE] * 8, rate=10.0)
    assert numbers(video(capture, every=3)) == [0, 3, 6]
    assert capture.retrieved == [0, 3, 6]


@pytest.mark.parametrize(
    ("rate", "fps", "expected"),
    [
        (30.0, 10.0, [0, 3, 6, 9]),
        (30.0, 30.0, list(range(12))),
        (30.0, 100.0, list(range(12))),
        (30.0, 7.5, [0, 4, 8]),
    ],
)
def test_so_many_frames_a_second_of_the_files_time(rate, fps, expected):
    capture = FakeCapture([PICTURE] * 12, rate=rate)
    assert numbers(video(capture, fps=fps)) == expected


def test_the_times_of_the_container_count_where_they_go_forward():
    capture = FakeCapture([PICTURE] * 4, rate=10.0, times=[0.0, 0.5, 0.2, 0.9])
    times = [frame.time_s for frame in video(capture).frames(tick=1.0)]
    assert times == pytest.approx([0.0, 0.5, 0.5, 0.9])


def test_a_rate_that_nobody_knows_is_taken_as_25():
    frames = list(video(FakeCapture([PICTURE] * 3)).frames(tick=1.0))
    assert frames[2].time_s == pytest.approx(0.08)


def test_a_file_that_ends_before_its_header_says_so_after_its_last_frame():
    source = video(FakeCapture([PICTURE] * 15, rate=10.0, length=30))
    frames, error = until_error(source.frames(tick=1.0))
    assert len(frames) == 15
    assert isinstance(error, TruncatedVideoError)
    assert "ends after 15 frames, its header says 30" in str(error)


@pytest.mark.parametrize("length", [10, 11, 12, None, 5])
def test_a_header_may_be_a_little_off(length):
    assert len(numbers(video(FakeCapture([PICTURE] * 10, length=length)))) == 10


def test_a_video_without_any_frame_is_no_source():
    with pytest.raises(CameraUnavailableError, match="holds no frame"):
        numbers(video(FakeCapture([])))


def test_a_file_that_is_closed_ends_without_complaint():
    capture = FakeCapture([PICTURE] * 100, length=100)
    source = video(capture)
    frames = source.frames(tick=1.0)
    next(frames)
    source.close()
    assert list(frames) == []
    assert capture.released.is_set()


def test_frames_that_cannot_be_decoded_are_left_out():
    assert numbers(video(FakeCapture([PICTURE, None, PICTURE]))) == [0, 2]


def test_every_and_fps_together_are_refused():
    with pytest.raises(OptionError, match="one of them"):
        Selection(every=2, fps=3.0)


@pytest.mark.parametrize("wrong", [{"every": 0}, {"fps": 0.0}, {"fps": float("nan")}])
def test_a_selection_out_of_range_is_refused(wrong):
    with pytest.raises(OptionError):
        Selection(**wrong)


@pytest.fixture
def pictures(tmp_path):
    for number in (2, 0, 10, 1):
        Image.fromarray(colour(number, 0, 0)).save(tmp_path / f"frame_{number:04d}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_gives_its_pictures_in_order(pictures):
    frames = list(PictureSequence(str(pictures)).frames(tick=1.0))
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [0, 1, 2, 10]
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.04, 0.08, 0.12])


@pytest.mark.parametrize("pattern", ["frame_%04d.png", "frame_%d.png"])
def test_a_pattern_gives_its_pictures_by_number(pictures, pattern):
    names = [path[-8:] for path in list_pictures(str(pictures / pattern))]
    assert names == ["0000.png", "0001.png", "0002.png", "0010.png"]


def test_numbers_without_zeros_before_them_are_in_order_too(tmp_path):
    for number in (9, 10, 1):
        (tmp_path / f"{number}.png").touch()
    names = [path.rpartition("/")[2] for path in list_pictures(str(tmp_path / "%d.png"))]
    assert names == ["1.png", "9.png", "10.png"]


def test_a_picture_that_cannot_be_read_is_told_and_the_others_come(pictures):
    (pictures / "frame_0001.png").write_bytes(b"broken")
    notices: list[str] = []
    source = PictureSequence(str(pictures), notice=notices.append)
    seen, error = until_error(source.frames(tick=1.0))
    assert isinstance(error, TruncatedVideoError)
    assert "1 of 4 pictures" in str(error)
    assert [frame.number for frame in seen] == [0, 2, 3]
    assert "frame_0001.png" in notices[0]


@pytest.mark.parametrize("name", ["none_%03d.png", "missing.png", "."])
def test_no_picture_at_all_is_no_source(tmp_path, name):
    with pytest.raises(CameraUnavailableError, match="no picture there"):
        PictureSequence(str(tmp_path / name))


def test_arrays_come_as_frames_at_the_rate_that_is_given():
    frames = list(GivenFrames([PICTURE] * 3, rate=10.0).frames(tick=1.0))
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.1, 0.2])
    assert np.array_equal(frames[0].pixels, PICTURE)


def test_without_a_rate_the_clock_gives_the_times():
    ticks = iter([100.0, 100.5, 102.0])
    frames = list(GivenFrames([PICTURE] * 2, clock=lambda: next(ticks)).frames(tick=1.0))
    assert [frame.time_s for frame in frames] == [0.5, 2.0]


def test_frames_with_their_own_times_come_as_they_are():
    given = Frame(number=7, time_s=3.0, captured=1.0, pixels=PICTURE)
    assert list(GivenFrames([given]).frames(tick=1.0)) == [given]


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.zeros((4, 4), np.uint8), r"shape \[4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \[0, 4, 3\]"),
        ("a path", "str"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_number(wrong, found):
    with pytest.raises(ImageInputError, match=f"frame 1 is .*{found}"):
        list(GivenFrames([PICTURE, wrong]).frames(tick=1.0))


def test_a_folder_that_may_not_be_listed_is_no_source(tmp_path, monkeypatch):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", refused)
    with pytest.raises(CameraUnavailableError, match="cannot be listed"):
        PictureSequence(str(tmp_path))
