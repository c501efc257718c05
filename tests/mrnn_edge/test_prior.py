import numpy as np
import pytest
import tiny

from mrnn_edge.bundle import load_bundle
from mrnn_edge.config import Prior
from mrnn_edge.errors import BundleError
from mrnn_edge.prior import PriorVectors


def test_a_prior_is_read_as_it_was_written():
    again = PriorVectors.from_npy(tiny.prior().to_npy())
    np.testing.assert_array_equal(again.mean, tiny.prior().mean)
    np.testing.assert_array_equal(again.sample, tiny.prior().sample)


@pytest.mark.parametrize(("kind", "rows"), [(Prior.TRAIN, 5), (Prior.MEAN, 1), (Prior.NONE, 0)])
def test_each_kind_asks_with_its_own_vectors(kind, rows):
    assert tiny.prior().of(kind).shape == (rows, tiny.IMAGE)


def test_a_bundle_without_a_prior_has_none(tmp_path):
    assert load_bundle(tiny.write(tmp_path, tiny.files(prior=None))).prior() is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((6, tiny.IMAGE)), "no float32 array"),
        (np.zeros(6, np.float32), "no float32 array"),
        (np.full((6, tiny.IMAGE), np.nan, np.float32), "all numbers finite"),
        (np.zeros((1, tiny.IMAGE), np.float32), "one picture at least"),
        (np.zeros((6, tiny.IMAGE + 1), np.float32), r"\[5, 7\] numbers .* says \[5, 6\]"),
        (np.zeros((4, tiny.IMAGE), np.float32), r"\[3, 6\] numbers .* says \[5, 6\]"),
        (np.array([{}], object), "prior.npy"),
    ],
)
def test_an_array_that_is_no_prior_is_refused(tmp_path, rows, message):
    folder = tiny.write(tmp_path)
    np.save(folder / "prior.npy", rows)
    rehash(folder)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder).prior()


def test_bytes_that_are_no_array_are_refused(tmp_path):
    folder = tiny.write(tmp_path)
    for data in (b"", b"hello", tiny.prior().to_npy()[:-3]):
        (folder / "prior.npy").write_bytes(data)
        rehash(folder)
        with pytest.raises(BundleError, match="export the model anew"):
            load_bundle(folder).prior()


def test_a_prior_of_other_bytes_than_its_hash_is_refused(tmp_path):
    folder = tiny.write(tmp_path)
    data = bytearray((folder / "prior.npy").read_bytes())
    data[-1] ^= 1
    (folder / "prior.npy").write_bytes(data)
    with pytest.raises(BundleError, match="damaged or replaced"):
        load_bundle(folder).prior()


def test_a_prior_that_is_not_there_is_refused_at_load(tmp_path):
    folder = tiny.write(tmp_path)
    (folder / "prior.npy").unlink()
    with pytest.raises(BundleError, match=r"prior\.npy is missing"):
        load_bundle(folder)


def rehash(folder) -> None:
    from mrnn_edge.bundle import describe_prior

    entry = describe_prior("prior.npy", (folder / "prior.npy").read_bytes(), images=5)
    tiny.edit_config(folder, lambda config: config["prior"].update(vars(entry)))
