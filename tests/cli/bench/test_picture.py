"""The pictures that are timed: one built in, files, folders."""

import io

import pytest
from conftest import noise_picture
from PIL import Image

from mrnn_edge.errors import FileError, OptionError
from mrnn_edge_cli.bench.picture import built_in, read_pictures


def test_the_built_in_picture_is_a_photo_in_size_and_the_same_each_time():
    first, second = built_in(), built_in()
    assert first == second
    (data,) = first.files
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("JPEG", (600, 400))
    # Neither a flat colour, which would decode in no time, nor pure noise.
    assert 30_000 < len(data) < 120_000


def test_a_file_is_named_by_its_own_name_and_what_is_in_it(tmp_path):
    picture = noise_picture(tmp_path / "noise.jpg")
    found = read_pictures(str(picture))
    assert found.files == (picture.read_bytes(),)
    assert found.name.startswith("noise.jpg, sha256 ")
    assert str(tmp_path) not in found.name
    noise_picture(picture, seed=1)
    assert read_pictures(str(picture)).name != found.name


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(tmp_path):
    files = {name: noise_picture(tmp_path / f"{name}.png", seed=ord(name)) for name in "cab"}
    (tmp_path / "text.txt").write_text("no picture")
    found = read_pictures(str(tmp_path))
    assert found.files == tuple(files[name].read_bytes() for name in "abc")
    assert "3 pictures" in found.name


def test_what_is_not_there_and_a_folder_of_nothing_are_told(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        read_pictures(str(tmp_path / "gone.jpg"))
    with pytest.raises(OptionError, match="holds no picture"):
        read_pictures(str(tmp_path))
