"""Pictures in order, by their folder or their pattern."""

import pytest
from fake_capture import colour, until_error
from PIL import Image

from mrnn_edge.camera.frames import Selection
from mrnn_edge.camera.pictures import PictureSequence, list_pictures
from mrnn_edge.errors import CameraUnavailableError, TruncatedVideoError


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


def test_a_folder_that_may_not_be_listed_is_no_source(tmp_path, monkeypatch):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", refused)
    with pytest.raises(CameraUnavailableError, match="cannot be listed"):
        PictureSequence(str(tmp_path))
