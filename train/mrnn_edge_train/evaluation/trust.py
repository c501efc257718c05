"""How well a caption's confidence says whether it is right: fitted on dev, measured anywhere.

A caption is right if at least two thirds of its content words are used by some reference. That is a
proxy of a person's judgement that needs no person. Takes features (mrnn_edge.language.confidence)
and captions with their references, gives weights and figures. No torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import spearmanr

from mrnn_edge.bundle.config import ConfidenceWeights
from mrnn_edge.language.confidence import FEATURES
from mrnn_edge.vocab import FUNCTION_WORDS
from mrnn_edge_train.evaluation.metrics import cider_each

RIGHT: Final = 2.0 / 3.0
"""The share of its content words that references must use."""
BINS: Final = 10
_SHRINK: Final = 1e-3
"""Weight of the squared norm of the standardised weights beside the mean cost."""


def is_right(caption: Iterable[str], references: Iterable[Iterable[str]]) -> bool:
    """Whether references use two thirds of the content words; tokens. False without such words."""
    content = [word for word in caption if word not in FUNCTION_WORDS]
    used = {word for reference in references for word in reference}
    found = sum(word in used for word in content)
    return bool(content) and found >= RIGHT * len(content) - 1e-9


def fit(features: Sequence[Mapping[str, float]], right: Sequence[bool]) -> ConfidenceWeights:
    """The logistic regression of `right` on the features, both of length N.

    Raises ValueError if the captions are all right or all wrong.
    """
    values = _matrix(features)
    labels = np.array(right, np.float64)
    if not 0.0 < labels.mean() < 1.0:
        raise ValueError(f"all {len(labels)} captions are {'right' if labels[0] else 'wrong'}")
    mean, spread = values.mean(axis=0), values.std(axis=0) + 1e-9
    inputs = (values - mean) / spread
    signs = 2.0 * labels - 1.0

    def cost(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total = weights[0] + inputs @ weights[1:]
        mistake = (expit(total) - labels) / len(labels)
        worth = float(np.logaddexp(0.0, -signs * total).mean())
        slope = inputs.T @ mistake + 2.0 * _SHRINK * weights[1:]
        return (
            worth + _SHRINK * float(np.square(weights[1:]).sum()),
            np.concatenate([[mistake.sum()], slope]),
        )

    start = np.zeros(1 + len(FEATURES))
    found = minimize(cost, start, jac=True, method="L-BFGS-B").x
    scaled = found[1:] / spread
    return ConfidenceWeights(
        bias=float(found[0] - scaled @ mean),
        weights={name: float(each) for name, each in zip(FEATURES, scaled, strict=True)},
    )


def predict(
    weights: ConfidenceWeights, features: Sequence[Mapping[str, float]]
) -> NDArray[np.float64]:
    """The confidences float64 [N] of captions with these features."""
    chosen = np.array([weights.weights[name] for name in FEATURES])
    found: NDArray[np.float64] = expit(weights.bias + _matrix(features) @ chosen)
    return found


def cross_validated(
    features: Sequence[Mapping[str, float]],
    right: Sequence[bool],
    *,
    folds: int = 10,
    seed: int = 0,
) -> NDArray[np.float64]:
    """The confidence float64 [N] of each caption by weights that were fitted without its fold."""
    labels = np.array(right)
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    found = np.empty(len(labels))
    for number in range(folds):
        apart, rest = fold == number, fold != number
        weights = fit([*compress(features, rest)], labels[rest].tolist())
        found[apart] = predict(weights, [*compress(features, apart)])
    return found


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The captions whose confidence lies in one tenth of 0 to 1."""

    captions: int
    confidence: float
    """Their mean confidence."""
    right: float
    """The share of them that is right."""


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Figures of confidences against what is right."""

    captions: int
    right: float
    """The share of all captions that is right."""
    area: float
    """Under the ROC curve: the probability that a right caption has the higher confidence."""
    calibration_error: float
    """Mean distance between confidence and share of right captions over the bins, by captions."""
    surest_half: float
    """The share of right captions in the half with the highest confidence."""
    bins: tuple[Bin, ...]
    """Those with captions, by confidence."""
    risk: tuple[float, ...]
    """The share of wrong captions among the surest 10 %, 20 % … 100 %."""

    def to_record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "bins": [asdict(each) for each in self.bins]}


def measure_trust(
    confidences: Sequence[float],
    captions: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
) -> tuple[Reliability, float]:
    """Figures of the confidences of captions, tokens, and their rank correlation with CIDEr."""
    pairs = zip(captions, references, strict=True)
    right = [is_right(caption, group) for caption, group in pairs]
    ranks = spearmanr(confidences, cider_each(references, captions)).statistic
    return reliability(confidences, right), float(ranks)


def reliability(confidences: Sequence[float], right: Sequence[bool]) -> Reliability:
    """Measure the confidences of N captions. Raises ValueError for none."""
    if not len(confidences):
        raise ValueError("there are no captions")
    sure, labels = np.array(confidences, np.float64), np.array(right, bool)
    number = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = tuple(
        Bin(
            captions=int(chosen.sum()),
            confidence=float(sure[chosen].mean()),
            right=float(labels[chosen].mean()),
        )
        for chosen in (number == each for each in range(BINS))
        if chosen.any()
    )
    surest_first = labels[np.argsort(-sure, kind="stable")]
    gap = sum(each.captions * abs(each.confidence - each.right) for each in bins)
    return Reliability(
        captions=len(sure),
        right=float(labels.mean()),
        area=_area(sure, labels),
        calibration_error=gap / len(sure),
        surest_half=float(surest_first[: max(1, len(sure) // 2)].mean()),
        bins=bins,
        risk=tuple(
            1.0 - float(surest_first[: max(1, round(len(sure) * tenth / 10))].mean())
            for tenth in range(1, 11)
        ),
    )


def _area(sure: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """By the rank sum of the right ones; ties count half. 0.5 if all are right or all wrong."""
    if labels.all() or not labels.any():
        return 0.5
    _, inverse, counts = np.unique(sure, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    first, other = int(labels.sum()), int((~labels).sum())
    return float((ranks[labels].sum() - first * (first + 1) / 2.0) / (first * other))


def _matrix(features: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    return np.array([[each[name] for name in FEATURES] for each in features], np.float64)
