import numpy as np
import pytest
import tiny

from mrnn_edge.bundle.folder import load_bundle
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.errors import BundleError
from mrnn_edge.options import Prior


def test_a_prior_is_read_as_it_was_written():
    again = PriorVectors.from_npy(tiny.prior().to_npy())
    np.testing.assert_array_equal(again.mean, tiny.prior().mean)
    np.testing.assert_array_equal(again.centres, tiny.prior().centres)
    np.testing.assert_array_equal(again.weights, tiny.prior().weights)


@pytest.mark.parametrize(("kind", "rows"), [(Prior.TRAIN, 5), (Prior.MEAN, 1), (Prior.NONE, 0)])
def test_each_kind_asks_with_its_own_vectors(kind, rows):
    vectors, weights = tiny.prior().vectors(kind)
    assert vectors.shape == (rows, tiny.IMAGE)
    assert weights.shape == (rows,)


def test_a_bundle_without_a_prior_has_none(tmp_path):
    assert load_bundle(tiny.write(tmp_path, tiny.files(prior=None))).prior() is None


def rows(groups: int = 5, width: int = tiny.IMAGE, weight: float = 0.2) -> np.ndarray:
    made = np.zeros((1 + groups, 1 + width), np.float32)
    made[0, 0], made[1:, 0] = 1, weight
    return made


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (rows().astype(np.float64), "not a float32 array"),
        (rows()[0], "not a float32 array"),
        (np.full_like(rows(), np.nan), "all numbers finite"),
        (rows()[:1], "one group at least"),
        (rows(weight=0.3), "do not add up to 1"),
        (rows(weight=-0.2), "not above 0"),
        (rows(width=tiny.IMAGE + 1), r"centres of \[5, 7\], config.json says \[5, 6\]"),
        (rows(groups=4, weight=0.25), r"centres of \[4, 6\], config.json says \[5, 6\]"),
        (np.array([{}], object), r"prior\.npy"),
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
        with pytest.raises(BundleError, match="export the model again"):
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
    from mrnn_edge.bundle.write import describe_prior

    entry = describe_prior("prior.npy", (folder / "prior.npy").read_bytes(), groups=5)
    tiny.edit_config(folder, lambda config: config["prior"].update(vars(entry)))
