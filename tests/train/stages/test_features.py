import dataset
import numpy as np
import pytest
import torch
from PIL import Image

from mrnn_edge.errors import DatasetError, OptionError
from mrnn_edge.image.read import load_image
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.flickr8k import read_split
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.stages.features import (
    compute_table,
    read_table,
    table_key,
    write_table,
)
from mrnn_edge_train.torch_device import CPU


class MeanColours:
    """A stand-in for a CNN: the mean colour of the left and of the right half."""

    size = 32

    def __call__(self, pixels):
        halves = pixels.float().mean(dim=1).unflatten(1, (2, 16)).mean(dim=2)
        return halves.flatten(1)


@pytest.fixture
def images(tmp_path):
    return read_split(dataset.write(tmp_path / "set", train=5, dev=1, test=1), Split.TRAIN)


def test_a_table_holds_each_picture_and_its_mirror_image(images):
    left = np.zeros((32, 32, 3), np.uint8)
    left[:, :16] = 250
    Image.fromarray(left).save(images[0].path)
    table = compute_table(MeanColours(), images, size=32, mirror=True)
    assert table.features[0].tolist() == [250] * 3 + [0] * 3
    assert table.mirrored[0].tolist() == [0] * 3 + [250] * 3
    assert table.names == tuple(image.name for image in images)
    assert compute_table(MeanColours(), images, size=32, mirror=False).mirrored is None


def test_a_table_survives_its_file_and_gives_rows_in_the_order_asked_for(images, tmp_path):
    table = compute_table(MeanColours(), images, size=32, mirror=True)
    write_table(tmp_path / "table.npz", table)
    again = read_table(tmp_path / "table.npz")
    backwards = again.rows(images[::-1])
    np.testing.assert_array_equal(backwards.features, table.features[::-1])
    np.testing.assert_array_equal(backwards.mirrored, table.mirrored[::-1])


def test_a_picture_that_the_table_lacks_is_named(images):
    table = compute_table(MeanColours(), images[:3], size=32, mirror=False)
    with pytest.raises(DatasetError, match=r"not train3\.png, train4\.png \(2 missing\)"):
        table.rows(images)


def test_a_few_pictures_that_cannot_be_read_have_no_row_and_more_are_named(images):
    whole = compute_table(MeanColours(), images, size=32, mirror=True)
    images[1].path.write_bytes(b"no picture")
    images[3].path.write_bytes(images[3].path.read_bytes()[:60])
    table = compute_table(MeanColours(), images, size=32, mirror=True, spared=2)
    assert table.names == ("train0.png", "train2.png", "train4.png")
    np.testing.assert_array_equal(table.features, whole.features[[0, 2, 4]])
    np.testing.assert_array_equal(table.mirrored, whole.mirrored[[0, 2, 4]])
    named = r"2 of 5 pictures cannot be read: .*train1\.png.*train3"
    with pytest.raises(DatasetError, match=named):
        compute_table(MeanColours(), images, size=32, mirror=True, spared=1)
    with pytest.raises(DatasetError, match=r"none of 2 pictures can be read: .*train1\.png"):
        compute_table(MeanColours(), (images[1], images[3]), size=32, mirror=True, spared=2)


@pytest.mark.parametrize("content", [b"", b"no table", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "table.npz"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="cannot be read as a feature table"):
        read_table(path)


def test_a_table_whose_shapes_disagree_is_refused(tmp_path):
    path = tmp_path / "table.npz"
    np.savez(path, names=np.array(["a", "b"]), features=np.zeros((3, 4)))
    with pytest.raises(DatasetError, match=r"\[3, 4\] for names \[2\]"):
        read_table(path)
    np.savez(path, names=np.array(["a"]), other=np.zeros((1, 4)))
    with pytest.raises(DatasetError, match="expected names, features"):
        read_table(path)


@pytest.mark.parametrize("features", [np.array([["x"]]), np.array([[np.nan]]), np.array([[1j]])])
def test_a_table_of_anything_but_finite_numbers_is_refused(tmp_path, features):
    path = tmp_path / "table.npz"
    np.savez(path, names=np.array(["a"]), features=features)
    with pytest.raises(DatasetError, match="expected finite numbers"):
        read_table(path)


def test_the_cache_key_changes_with_encoder_size_mirror_kind_of_device_and_pictures(images):
    gpu = torch.device("cuda", 1)
    keys = {
        table_key("a", 32, images, mirror=True, device=CPU),
        table_key("b", 32, images, mirror=True, device=CPU),
        table_key("a", 64, images, mirror=True, device=CPU),
        table_key("a", 32, images, mirror=False, device=CPU),
        table_key("a", 32, images, mirror=True, device=gpu),
        table_key("a", 32, images[:-1], mirror=True, device=CPU),
    }
    assert len(keys) == 6
    data = bytearray(images[0].path.read_bytes())
    data[-1] ^= 1
    images[0].path.write_bytes(data)
    assert table_key("a", 32, images, mirror=True, device=CPU) not in keys


@pytest.mark.parametrize("name", EncoderName)
def test_the_pretrained_cnn_sees_a_cat_in_the_picture_of_a_cat(name, root):
    encoder = EfficientNetLite(name, 224)
    image = load_image(root / "docs" / "pictures" / "cat.jpg").resize((224, 224))
    with torch.inference_mode():
        features = encoder(torch.from_numpy(np.array(image))[None])
    assert features.shape == (1, encoder.feature)
    weights = encoder_classifier(name)
    scores = features @ weights["_fc.weight"].T + weights["_fc.bias"]
    # ImageNet's tabby, tiger cat, Persian, Siamese and Egyptian cat.
    assert int(scores.argmax()) in range(281, 286)


def encoder_classifier(name):
    from mrnn_edge_train.network.encoders import _pretrained

    return _pretrained(name)


def test_a_size_that_the_strides_do_not_divide_is_refused():
    with pytest.raises(OptionError, match="multiple of 32"):
        EfficientNetLite(EncoderName.LITE0, 100)
