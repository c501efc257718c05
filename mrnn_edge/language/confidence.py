"""How likely a caption is right: a logistic estimate from what is at hand when it is made.

    confidence = 1 / (1 + exp(-(bias + sum over features of weight * feature)))

"Right" means that at least two thirds of its content words are used by some reference. The weights
are fitted on the dev pictures of the model (train: evaluation/trust.py) and stand in config.json.
Takes ids, log-probabilities and an image vector; knows no pictures.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import ConfidenceWeights
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.decode.hypotheses import Hypothesis
from mrnn_edge.decode.score import BITS_PER_NAT
from mrnn_edge.errors import BundleError

FEATURES: Final = (
    "word_bits",
    "word_evidence",
    "content_bits",
    "content_bits_least",
    "content_bits_second",
    "content_evidence",
    "content_evidence_least",
    "content_evidence_most",
    "first_content_bits",
    "words",
    "content_words",
    "distance",
    "distance_to_mean",
    "distance_share",
)
"""What the estimate may use; a model has a weight for each."""


def checked_weights(weights: ConfidenceWeights | None) -> ConfidenceWeights | None:
    """The weights of a model. Raises BundleError unless they are for exactly these features."""
    if weights is not None and weights.weights.keys() != set(FEATURES):
        raise BundleError(
            f"config.json: confidence has weights for {', '.join(sorted(weights.weights))}, "
            f"expected {', '.join(FEATURES)}; use the mrnn-edge that made the model"
        )
    return weights


def caption_features(
    best: Hypothesis,
    habit: NDArray[np.float64],
    content: frozenset[int],
    image: Floats,
    prior: PriorVectors,
) -> dict[str, float]:
    """The features of a caption, by name.

    `habit` float64 [words] holds its natural log-probabilities under the mean image vector, `image`
    float32 [M] is its image vector. Bits are log2 P a word, evidence is bits under the picture less
    bits under the mean vector; the words' means include the end sign. Without a content word the
    features of content words are 0. Distances are Euclidean: to the nearest group of training
    pictures, to their mean, and the first as a share of the second.
    """
    bits = np.asarray(best.log_probs, np.float64) * BITS_PER_NAT
    evidence = bits - habit * BITS_PER_NAT
    chosen = [at for at, token in enumerate(best.tokens) if token in content]
    named = bits[chosen] if chosen else np.zeros(1)
    grounds = evidence[chosen] if chosen else np.zeros(1)
    ordered = np.sort(named)
    count = len(best.tokens) + 1
    nearest = float(np.sqrt(np.square(prior.centres - image).sum(axis=1).min()))
    off_mean = float(np.sqrt(np.square(prior.mean - image).sum()))
    return {
        "word_bits": float(bits.sum()) / count,
        "word_evidence": float(evidence.sum()) / count,
        "content_bits": float(named.mean()),
        "content_bits_least": float(ordered[0]),
        "content_bits_second": float(ordered[min(1, len(ordered) - 1)]),
        "content_evidence": float(grounds.mean()),
        "content_evidence_least": float(grounds.min()),
        "content_evidence_most": float(grounds.max()),
        "first_content_bits": float(named[0]),
        "words": float(len(best.tokens)),
        "content_words": float(len(chosen)),
        "distance": nearest,
        "distance_to_mean": off_mean,
        "distance_share": nearest / max(off_mean, 1e-6),
    }


def confidence(weights: ConfidenceWeights, features: Mapping[str, float]) -> float:
    """The probability, 0 to 1, that a caption with these features is right."""
    total = weights.bias + sum(weights.weights[name] * features[name] for name in FEATURES)
    # Beyond 700 exp overflows.
    return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, total))))
