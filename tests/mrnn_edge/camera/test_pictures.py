"""Pictures in order, by their folder."""

import numpy as np
import pytest
from fake_capture import colour, until_error
from PIL import Image

from mrnn_edge.camera.frames import Frame, Selection
from mrnn_edge.camera.pictures import GivenFrames, PictureSequence, list_pictures
from mrnn_edge.camera.source import open_source
from mrnn_edge.errors import (
    CameraUnavailableError,
    ImageInputError,
    OptionError,
    TruncatedVideoError,
)


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


def test_so_many_pictures_a_second_of_the_25(tmp_path):
    for number in range(50):
        Image.fromarray(colour(number, 0, 0)).save(tmp_path / f"{number:02d}.png")
    source = PictureSequence(str(tmp_path), selection=Selection(fps=20.0))
    numbers = [frame.number for frame in source.frames(tick=1.0)]
    # All but the last of each five.
    assert numbers == [number for number in range(50) if number % 5 != 1]


def test_a_picture_that_cannot_be_read_is_told_and_the_others_come(pictures):
    (pictures / "frame_0001.png").write_bytes(b"broken")
    notices: list[str] = []
    source = PictureSequence(str(pictures), notice=notices.append)
    seen, error = until_error(source.frames(tick=1.0))
    assert isinstance(error, TruncatedVideoError)
    assert "1 of 4 pictures" in str(error)
    assert [frame.number for frame in seen] == [0, 2, 3]
    assert "frame_0001.png" in notices[0]


@pytest.mark.parametrize("name", ["missing.png", "."])
def test_no_picture_at_all_is_no_source(tmp_path, name):
    with pytest.raises(CameraUnavailableError, match="no picture found"):
        PictureSequence(str(tmp_path / name))


def test_a_folder_that_may_not_be_listed_is_no_source(tmp_path, monkeypatch):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", refused)
    with pytest.raises(CameraUnavailableError, match="cannot be listed"):
        PictureSequence(str(tmp_path))


PICTURE = colour(10, 20, 30)


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
        (None, "None"),
        (Frame(number=1, time_s=0.0, captured=0.0, pixels=np.zeros((4, 4))), "float64"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_number(wrong, found):
    with pytest.raises(ImageInputError, match=f"frame 1 is .*{found}"):
        list(GivenFrames([PICTURE, wrong]).frames(tick=1.0))


@pytest.mark.parametrize("wrong", [None, 0.5, object()])
def test_what_is_no_source_at_all_is_refused_at_once(wrong):
    with pytest.raises(OptionError, match=rf"the source is {type(wrong).__name__}; expected a dev"):
        open_source(wrong)


def made(closed: list[str]):
    try:
        while True:
            yield PICTURE
    finally:
        closed.append("closed")


def test_a_generator_of_the_callers_goes_on_after_the_watch():
    closed: list[str] = []
    generator = made(closed)
    frames = GivenFrames(generator).frames(tick=1.0)
    next(frames)
    frames.close()
    assert closed == []
    assert next(generator) is PICTURE


def test_an_iterator_that_was_made_for_the_watch_is_closed_with_it():
    class Film:
        def __init__(self) -> None:
            self.closed: list[str] = []
            self.made: list = []  # keeps the generator, which would close where it is forgotten

        def __iter__(self):
            self.made.append(made(self.closed))
            return self.made[-1]

    film = Film()
    frames = GivenFrames(film).frames(tick=1.0)
    next(frames)
    assert film.closed == []
    frames.close()
    assert film.closed == ["closed"]


def test_the_halves_that_a_mac_leaves_in_a_folder_are_no_pictures(tmp_path):
    for name in ("a.png", "._a.png"):
        (tmp_path / name).touch()
    assert list_pictures(str(tmp_path)) == [str(tmp_path / "a.png")]
