"""JPEGs that are decoded small because the model's size is."""

import io

import numpy as np
import pytest
from pictures import encoded
from PIL import Image, ImageFile

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import ImageTooLargeError
from mrnn_edge.image.read import load_image, read_picture, read_pixels, to_pixels

SPEC = ImageSpec(height=24, width=24)
KINDS = {
    "plain": ("RGB", {}),
    "progressive": ("RGB", {"progressive": True}),
    "grey": ("L", {}),
    "CMYK": ("CMYK", {}),
}


def scene(width: int, height: int) -> Image.Image:
    """Soft patches of colour, as a photo has them."""
    patches = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.astype(int) - expected.astype(int)).mean())


@pytest.fixture
def decoded_sizes(monkeypatch):
    """The sizes at which files are decoded, in order."""
    seen = []
    load = ImageFile.ImageFile.load

    def watched(image):
        if image.tile:
            seen.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", watched)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_jpeg_is_decoded_small_and_looks_the_same(kind, decoded_sizes):
    mode, options = KINDS[kind]
    data = encoded(scene(800, 600).convert(mode), "JPEG", quality=90, **options)
    expected = to_pixels(load_image(data), SPEC)
    assert decoded_sizes == [(800, 600)]
    assert difference(read_pixels(data, SPEC), expected) < 1.5
    assert decoded_sizes[1:] == [(100, 75)]


@pytest.mark.parametrize(
    ("size", "decoded"),
    [((96, 95), (96, 95)), ((96, 96), (48, 48)), ((96, 500), (48, 250)), ((3000, 400), (375, 50))],
)
def test_the_smaller_side_keeps_twice_the_models_size(size, decoded, decoded_sizes):
    read_pixels(encoded(scene(*size), "JPEG"), SPEC)
    assert decoded_sizes == [decoded]


@pytest.mark.parametrize("size", [(40, 30), (95, 400), (400, 95)])
def test_a_picture_below_four_times_the_models_size_keeps_every_pixel(size):
    data = encoded(scene(*size), "JPEG")
    np.testing.assert_array_equal(read_pixels(data, SPEC), to_pixels(load_image(data), SPEC))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_other_formats_are_decoded_in_full(kind):
    data = encoded(scene(400, 300), kind)
    np.testing.assert_array_equal(read_pixels(data, SPEC), to_pixels(load_image(data), SPEC))


def test_every_kind_of_source_is_decoded_small_alike(tmp_path):
    data = encoded(scene(800, 600), "JPEG")
    path = tmp_path / "large.jpg"
    path.write_bytes(data)
    expected = read_pixels(data, SPEC)
    for source in (path, str(path), io.BytesIO(data)):
        np.testing.assert_array_equal(read_pixels(source, SPEC), expected)
    np.testing.assert_array_equal(read_picture(data, SPEC).pixels, expected)


def test_an_image_that_the_caller_opened_stays_the_size_it_has():
    with Image.open(io.BytesIO(encoded(scene(800, 600), "JPEG"))) as image:
        read_pixels(image, SPEC)
        assert image.size == (800, 600)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_large_jpeg_is_turned_upright(orientation):
    spec = ImageSpec(height=16, width=32)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(scene(900, 700), "JPEG", quality=90, exif=exif)
    assert difference(read_pixels(data, spec), to_pixels(load_image(data), spec)) < 1.5


def test_the_limit_of_pixels_is_that_of_the_file_not_of_what_is_decoded():
    data = bytearray(encoded(scene(800, 600), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (20_000).to_bytes(2, "big") * 2
    with pytest.raises(ImageTooLargeError, match="20000 x 20000|89,478,485"):
        read_pixels(bytes(data), SPEC)


def test_a_large_jpeg_that_is_cut_off_is_read_as_far_as_it_goes():
    data = encoded(scene(800, 600), "JPEG", quality=90)
    whole = read_pixels(data, SPEC)
    cut = read_picture(data[: len(data) // 2], SPEC, allow_truncated=True)
    assert cut.notes == ("cut off or damaged, the missing part is blank",)
    assert difference(cut.pixels[:8], whole[:8]) < 1.0
    assert difference(cut.pixels[-4:], np.full((4, 24, 3), 128)) < 2.0


def test_a_picture_of_stereo_phones_is_decoded_small(decoded_sizes):
    views = [scene(800, 600), scene(400, 300)]
    data = encoded(views[0], "MPO", save_all=True, append_images=views[1:])
    found = read_picture(data, SPEC)
    assert (found.frames, decoded_sizes) == (2, [(100, 75)])
