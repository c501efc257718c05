"""The models inside the package, as they are: sure of pictures, not of nothing."""

import numpy as np
import pytest

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import Precision
from mrnn_edge.bundle.folder import default_model, load_bundle, shipped_models

SIDE = 224
GRAPHS = [
    (name, precision)
    for name in shipped_models()
    for precision in load_bundle(name).config.precisions
]


@pytest.fixture(scope="module", params=GRAPHS, ids="-".join)
def shipped(request):
    model, precision = request.param
    return Captioner.load(model, device="cpu", precision=precision, threads=1)


def test_int8_is_tried_of_every_shipped_model_and_what_else_it_has():
    assert {name for name, precision in GRAPHS if precision is Precision.INT8} == set(
        shipped_models()
    )


def test_both_arithmetics_of_the_default_model_are_tried():
    assert {precision for name, precision in GRAPHS if name == default_model()} == {
        Precision.FLOAT32,
        Precision.INT8,
    }


def nothing() -> dict[str, np.ndarray]:
    """Bars and rings are of no kind that training shows (nothing.py), the others are."""
    slope = np.broadcast_to(
        np.linspace(0, 255, SIDE).astype(np.uint8)[None, :, None], (SIDE,) * 2 + (3,)
    )
    down, across = np.mgrid[:SIDE, :SIDE, :3][:2]
    rings = 127.5 + 127.5 * np.sin(np.hypot(down - SIDE / 2, across - SIDE / 2) / 6)
    return {
        "noise": np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8),
        "black": np.zeros((SIDE, SIDE, 3), np.uint8),
        "grey": np.full((SIDE, SIDE, 3), 127, np.uint8),
        "slope": np.ascontiguousarray(slope),
        "slope down": np.ascontiguousarray(slope.transpose(1, 0, 2)),
        "bars": np.where(down // 8 % 2, 0, 255).astype(np.uint8),
        "rings": rings.astype(np.uint8),
    }


@pytest.mark.parametrize("kind", list(nothing()))
def test_a_picture_of_nothing_gives_no_confidence(shipped, kind):
    caption = shipped.caption(nothing()[kind])
    assert caption.confidence < 0.3
    assert shipped.caption(nothing()[kind], min_confidence=0.5).text is None


def test_a_picture_gives_more_evidence_for_what_is_in_it(shipped, root):
    right, wrong = shipped.score(
        root / "docs" / "pictures" / "temple.jpg",
        ["a large building with people in front of it", "a dog is running through the snow"],
    )
    assert right.evidence > 3.0
    assert wrong.evidence < 0.0


@pytest.mark.parametrize(("picture", "words"), [("cat", {"cat"}), ("coffee", {"coffee", "cup"})])
@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_default_model_names_what_is_in_front_of_people(root, picture, words, precision):
    captioner = Captioner.load(device="cpu", precision=precision, threads=1)
    caption = captioner.caption(root / "docs" / "pictures" / f"{picture}.jpg")
    assert words & set(caption.text.split())
