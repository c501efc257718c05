"""Pictures that cannot be read, on the way from a training run to a model and its int8 graphs."""

from types import SimpleNamespace

import dataset
import numpy as np
import pytest

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.errors import DatasetError
from mrnn_edge_export.int8 import quantize
from mrnn_edge_export.training_prior import training_prior
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.datasets import read_split

SPEC = ImageSpec(height=8, width=8)


@pytest.fixture
def data(tmp_path):
    """A hundred training pictures, the one of number 7 broken."""
    data = dataset.write(tmp_path / "set", train=100, dev=3, test=2)
    (data / "images" / "train7.png").write_bytes(b"no picture")
    return data


def mean_colours(pixels):
    return pixels.mean(axis=(1, 2)).astype(np.float32)


def test_the_prior_is_of_the_pictures_that_training_could_read(data):
    pictures = [image.path for image in read_split(data, Split.TRAIN)]
    readable = [path for path in pictures if path.name != "train7.png"]
    found, unreadable = training_prior(mean_colours, pictures, SPEC)
    expected, none = training_prior(mean_colours, readable, SPEC)
    assert (unreadable, none) == (("train7.png",), ())
    np.testing.assert_array_equal(found.mean, expected.mean)
    (data / "images" / "train8.png").write_bytes(b"no picture either")
    with pytest.raises(DatasetError, match=r"2 of 100 pictures .*train7\.png.*train8\.png"):
        training_prior(mean_colours, pictures, SPEC)


def test_int8_is_calibrated_on_the_pictures_that_training_could_read(data):
    bundle = SimpleNamespace(config=SimpleNamespace(image=SPEC))
    found = quantize._read_data([data], 100, bundle, lambda items, *_: items)
    assert len(found.calibration) == len(found.pixels) == 99
    assert found.unreadable == ("train7.png",)
    assert "train7.png" not in {image.name for image in found.calibration}
    (data / "images" / "train8.png").write_bytes(b"no picture either")
    with pytest.raises(DatasetError, match=r"2 of 100 pictures"):
        quantize._read_data([data], 100, bundle, lambda items, *_: items)


def test_int8_is_not_calibrated_on_nothing(data):
    (data / "images" / "train0.png").write_bytes(b"no picture")
    bundle = SimpleNamespace(config=SimpleNamespace(image=SPEC))
    with pytest.raises(DatasetError, match=r"1 of 1 pictures cannot be read"):
        quantize._read_data([data], 1, bundle, lambda items, *_: items)
