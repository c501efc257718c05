"""The confidence of a caption, against its definition computed by hand from the record."""

import json
import math

import numpy as np
import pytest
import tiny

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import ConfidenceWeights
from mrnn_edge.errors import BundleError, OptionError
from mrnn_edge.language.confidence import FEATURES, checked_weights, confidence
from mrnn_edge.options import DecodeOptions
from mrnn_edge.vocab import FUNCTION_WORDS


def picture(number: int) -> np.ndarray:
    return np.full((tiny.SIDE, tiny.SIDE, 3), (25 * number, 255 - 25 * number, 40), np.uint8)


def by_hand(caption, pixels) -> dict[str, float]:
    """The features, from the words of the record and the generated model's own numbers."""
    prior, image = tiny.prior(), tiny.TinyNetwork().encode(pixels[None])[0]
    bits = [math.log2(word.prob) for word in caption.words]
    content = [at for at, word in enumerate(caption.words) if word.word not in FUNCTION_WORDS]
    named = [bits[at] for at in content] or [0.0]
    grounds = [caption.words[at].grounding for at in content] or [0.0]
    nearest = min(math.dist(image, centre) for centre in prior.centres)
    return {
        "word_bits": caption.log2_prob / (len(bits) + 1),
        "word_evidence": caption.evidence / (len(bits) + 1),
        "content_bits": sum(named) / len(named),
        "content_bits_least": min(named),
        "content_bits_second": sorted(named)[:2][-1],
        "content_evidence": sum(grounds) / len(grounds),
        "content_evidence_least": min(grounds),
        "content_evidence_most": max(grounds),
        "first_content_bits": named[0],
        "words": len(bits),
        "content_words": len(content),
        "distance": nearest,
        "distance_to_mean": math.dist(image, prior.mean),
        "distance_share": nearest / math.dist(image, prior.mean),
    }


@pytest.mark.parametrize("number", range(10))
def test_every_feature_is_what_its_name_says_by_hand(captioner, number):
    pixels, captions = picture(number), captioner.captions
    options = DecodeOptions()
    vectors = captioner.graphs.encoder(pixels[None])
    (decoded,) = captions.decode(vectors, options, captions.constraints(options))
    found = captions.features(decoded)
    assert set(found) == set(FEATURES)
    assert found == pytest.approx(by_hand(captioner.caption(pixels), pixels), abs=1e-3)


@pytest.mark.parametrize("number", range(10))
def test_the_confidence_is_the_logistic_of_the_weighted_features_by_hand(captioner, number):
    pixels, weights = picture(number), tiny.weights()
    caption = captioner.caption(pixels)
    features = by_hand(caption, pixels)
    total = weights.bias + sum(weights.weights[name] * features[name] for name in FEATURES)
    assert 0.01 < caption.confidence < 0.99
    assert caption.confidence == pytest.approx(1.0 / (1.0 + math.exp(-total)), abs=1e-3)


@pytest.mark.parametrize(("bias", "expected"), [(1e9, 1.0), (-1e9, 0.0)])
def test_no_weight_is_too_large(bias, expected):
    weights = ConfidenceWeights(bias=bias, weights=dict.fromkeys(FEATURES, 0.0))
    assert confidence(weights, dict.fromkeys(FEATURES, 1.0)) == pytest.approx(expected)


def test_weights_of_other_features_are_refused_and_named():
    with pytest.raises(BundleError, match=r"weights for colour, expected word_bits"):
        checked_weights(ConfidenceWeights(bias=0.0, weights={"colour": 1.0}))


def test_a_model_without_weights_gives_evidence_alone(tmp_path):
    files = tiny.files()
    config = json.loads(files["config.json"])
    del config["confidence"]
    files["config.json"] = json.dumps(config).encode()
    model = Captioner.load(tiny.write(tmp_path / "model", files), device="cpu", threads=1)
    caption = model.caption(picture(3))
    assert caption.confidence is None
    assert caption.evidence is not None
    with pytest.raises(OptionError, match="tiny-test gives no confidence"):
        model.caption(picture(3), min_confidence=0.5)
