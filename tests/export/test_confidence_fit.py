import dataclasses

import numpy as np
import pytest
from PIL import Image

from mrnn_edge.language.confidence import FEATURES
from mrnn_edge.options import DecodeOptions
from mrnn_edge_export.card import render_card
from mrnn_edge_export.confidence_fit import fit_confidence
from mrnn_edge_train.data.common import CaptionedImage

OPTIONS = DecodeOptions()


@pytest.fixture
def images(tmp_path, captioner):
    """120 pictures; a caption is right where the upper half of the picture is bright."""
    found = []
    for number in range(120):
        random = np.random.default_rng(number)
        bright = number % 2 == 0
        pixels = random.integers(
            150 if bright else 0, 256 if bright else 100, (24, 24, 3), np.uint8
        )
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path)
        words = tuple(captioner.caption(path).text.split())
        found.append(CaptionedImage(path=path, sentences=(words if bright else ("zebra",),)))
    return found


def test_the_weights_tell_right_from_wrong_on_each_set(captioner, images):
    found = fit_confidence(captioner, {"one": images[:80], "two": images[80:]})
    assert set(found.weights.weights) == set(FEATURES)
    assert set(found.figures) == {"one", "two"}
    assert found.figures["one"]["captions"] == 80
    assert found.figures["one"]["right"] == pytest.approx(0.5, abs=0.02)
    assert found.figures["one"]["area"] > 0.9
    card = render_card(captioner.config, {"confidence": found.figures}).decode()
    assert f"| one | 80 | 50% | {found.figures['one']['area']:.3f} |" in card
    generator = dataclasses.replace(captioner.captions, weights=found.weights)
    sure = []
    for image in images:
        vectors = captioner.encode(image.path)[None]
        (decoded,) = generator.decode(vectors, OPTIONS, generator.constraints(OPTIONS))
        record = generator.caption(decoded, OPTIONS, frames=1, notes=(), timing_ms={})
        sure.append(record.confidence)
    assert np.mean(sure[::2]) > 0.7 > 0.3 > np.mean(sure[1::2])


def test_few_captions_or_captions_that_are_all_wrong_give_no_confidence(captioner, images):
    assert fit_confidence(captioner, {"few": images[:99]}) is None
    wrong = [CaptionedImage(path=each.path, sentences=(("zebra",),)) for each in images]
    assert fit_confidence(captioner, {"wrong": wrong}) is None


def test_a_picture_that_cannot_be_read_is_left_out(captioner, images):
    images[3].path.write_bytes(b"no picture")
    found = fit_confidence(captioner, {"one": images})
    assert found.figures["one"]["captions"] == 119
