"""A slice of the fuzzing at every run of the suite; the long run is run.py."""

import os
import struct
import zlib
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import tiny
from fuzz.mutations import FORMATS, mutated_bundle, mutated_picture, sound_pictures
from fuzz.targets import CAPTIONED, READ, fuzz_bundle, fuzz_image
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn_edge import errors

CORPUS = os.environ.get("MRNN_EDGE_CORPUS")

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged files, as it should


def test_the_sound_pictures_and_the_sound_model_pass(tmp_path):
    assert set(sound_pictures()) == set(FORMATS)
    for pictures in sound_pictures().values():
        assert [fuzz_image(data) for data in pictures] == ["picture"] * len(pictures)
    assert fuzz_bundle(tiny.write(tmp_path)) == "caption"


@given(st.integers(0, 2**63))
@settings(max_examples=1000)
def test_a_mutated_picture_is_a_picture_or_an_error_of_ours(seed):
    outcome = fuzz_image(mutated_picture(Random(seed)))
    assert outcome == READ or issubclass(getattr(errors, outcome), errors.InputError)


@given(st.integers(0, 2**63))
@settings(max_examples=300)
def test_a_mutated_model_folder_gives_a_caption_or_an_error_of_ours(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("mutated")
    outcome = fuzz_bundle(tiny.write(folder, mutated_bundle(Random(seed))))
    refused = getattr(errors, outcome.removesuffix(" later"), None)
    assert outcome == CAPTIONED or issubclass(refused, errors.ModelError | errors.InputError)


def test_the_mutations_reach_both_sides_pictures_and_refusals_of_every_kind(tmp_path_factory):
    read = Counter(fuzz_image(mutated_picture(Random(seed))) for seed in range(300))
    assert read[READ] > 50
    assert {"ImageDecodeError", "UnsupportedImageError", "ImageTooLargeError"} <= set(read)
    folders = (tmp_path_factory.mktemp("model") for _ in range(200))
    opened = Counter(
        fuzz_bundle(tiny.write(folder, mutated_bundle(Random(seed))))
        for seed, folder in enumerate(folders)
    )
    assert opened[CAPTIONED] > 10
    assert {"BundleError", "BundleError later"} & set(opened)


def test_a_case_is_its_number():
    for make in (mutated_picture, mutated_bundle):
        assert [make(Random(n)) for n in range(20)] == [make(Random(n)) for n in range(20)]


def test_the_sums_of_a_mutated_png_are_right_again_more_often_than_not():
    right = 0
    for seed in range(400):
        data = mutated_picture(Random(seed))
        if data.startswith(b"\x89PNG") and len(data) > 33:
            (length,) = struct.unpack(">I", data[8:12])
            (found,) = struct.unpack(">I", data[16 + length : 20 + length] or b"\0\0\0\0")
            right += found == zlib.crc32(data[12 : 16 + length])
    assert right > 25


@pytest.mark.skipif(CORPUS is None, reason="names a folder of odd pictures: MRNN_EDGE_CORPUS")
def test_every_file_of_the_corpus_is_a_picture_or_an_error_of_ours():
    files = [path for path in sorted(Path(CORPUS or "").rglob("*")) if path.is_file()]
    assert files
    outcomes = Counter(fuzz_image(path.read_bytes()) for path in files)
    assert outcomes.total() == len(files)
