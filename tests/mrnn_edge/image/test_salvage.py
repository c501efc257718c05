import threading

import numpy as np
import pytest
from pictures import encoded, photo
from PIL import Image

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import (
    ImageDecodeError,
    UnsupportedImageError,
)
from mrnn_edge.image.read import load_image, read_picture

SPEC = ImageSpec(height=12, width=20)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused_not_captioned_half(kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises((ImageDecodeError, UnsupportedImageError)):
        load_image(data[: int(len(data) * share)])


CUT_KINDS = {
    "JPEG": {},
    "progressive JPEG": {"progressive": True},
    "PNG": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
}


@pytest.mark.parametrize("kind", CUT_KINDS)
def test_a_cut_off_file_is_read_as_far_as_it_goes_where_that_is_allowed(kind):
    data = encoded(photo(), kind.split()[-1], **CUT_KINDS[kind])
    whole = np.asarray(load_image(data), int)
    cut = data[: len(data) * 6 // 10]
    with pytest.raises(ImageDecodeError):
        load_image(cut)
    found = np.asarray(load_image(cut, allow_truncated=True), int)
    if kind != "progressive JPEG":
        assert (found == whole).all(axis=2).mean() > 0.4
    else:  # all of it, less sharp
        assert 0 < np.abs(found - whole).mean() < 30
    (note,) = read_picture(cut, SPEC, allow_truncated=True).notes
    assert note == "cut off or damaged, the missing part is blank"


def test_a_whole_file_is_read_the_same_with_truncation_allowed():
    data = encoded(photo(), "JPEG")
    strict, allowed = (read_picture(data, SPEC, allow_truncated=x) for x in (False, True))
    np.testing.assert_array_equal(strict.pixels, allowed.pixels)
    assert allowed.notes == ()


def test_a_file_without_any_picture_data_is_refused_even_then():
    data = encoded(photo(), "PNG")
    start = data.index(b"IDAT") + 6
    with pytest.raises(ImageDecodeError, match="no part of it"):
        load_image(data[:start], allow_truncated=True)


def test_strict_readers_refuse_cut_files_while_others_allow_them():
    data = encoded(photo(), "JPEG")
    cut = data[: len(data) // 2]
    refused: list[int] = []

    def strict() -> None:
        for turn in range(200):
            try:
                load_image(cut)
            except ImageDecodeError:
                refused.append(turn)

    def lenient() -> None:
        for _ in range(200):
            load_image(cut, allow_truncated=True)

    threads = [threading.Thread(target=work) for work in (strict, lenient, strict, lenient)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 400
