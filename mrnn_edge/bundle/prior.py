"""The prior: image vectors that stand for not having seen the picture.

    P(w) = mean over I' of P(w | I'),  I' from the training split        (Mao et al. 2014, §6)

The training pictures are grouped by similar vectors; each group is its centre, weighted by its
size. 100 centres retrieve as well as 500 single pictures (docs/probabilities.md). The mean over the
whole split approximates P(w) in one call, at a hundredth of the cost. Runs no graph.
"""

import io
from dataclasses import dataclass

import numpy as np

from mrnn_edge.arrays import Floats
from mrnn_edge.options import Prior


@dataclass(frozen=True, kw_only=True)
class PriorVectors:
    """Image vectors of training pictures, from prior.npy of a bundle."""

    mean: Floats
    """float32 [M], over the whole training split."""
    centres: Floats
    """float32 [K, M], of the groups."""
    weights: Floats
    """float32 [K], each group's share of the pictures; they sum to 1."""

    def vectors(self, prior: Prior) -> tuple[Floats, Floats]:
        """Vectors float32 [k, M] and weights float32 [k] of a prior's weighted mean."""
        if prior is Prior.TRAIN:
            return self.centres, self.weights
        count = 1 if prior is Prior.MEAN else 0
        return np.repeat(self.mean[None], count, axis=0), np.ones(count, np.float32)

    def to_npy(self) -> bytes:
        """The bytes of prior.npy: float32 [1 + K, 1 + M], the mean first, a row's weight first."""
        rows = np.concatenate([self.mean[None], self.centres])
        weights = np.concatenate([np.ones(1, np.float32), self.weights])
        buffer = io.BytesIO()
        np.save(buffer, np.column_stack([weights, rows]).astype(np.float32), allow_pickle=False)
        return buffer.getvalue()

    @classmethod
    def from_npy(cls, data: bytes) -> "PriorVectors":
        """Read prior.npy. Raises ValueError for another array or impossible numbers."""
        try:
            rows = np.load(io.BytesIO(data), allow_pickle=False)
        except Exception as error:
            # numpy parses the header as Python: ValueError, SyntaxError, TokenError, MemoryError.
            raise ValueError(f"is not a numpy array ({error})") from None
        if not isinstance(rows, np.ndarray) or rows.dtype != np.float32 or rows.ndim != 2:
            raise ValueError("is not a float32 array of two dimensions")
        if len(rows) < 2 or not np.isfinite(rows).all():
            raise ValueError("needs a mean and one group at least, all numbers finite")
        weights = rows[1:, 0]
        if (weights <= 0.0).any() or abs(float(weights.sum()) - 1.0) > 1e-3:
            raise ValueError("has weights that are not above 0 or do not add up to 1")
        return cls(mean=rows[0, 1:], centres=rows[1:, 1:], weights=weights)
