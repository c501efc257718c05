"""The prior: what the model says before it has seen the picture, as image vectors to ask it with.

    P(w) = mean over I' of P(w | I'),  I' from the training split        (Mao et al. 2014, §6)

The vectors are those of a fixed sample of training pictures, and their mean over the whole split,
which stands for P(w) at a hundredth of the cost. Takes and gives arrays; runs no graph.
"""

import io
from dataclasses import dataclass

import numpy as np

from mrnn_edge.config import Prior
from mrnn_edge.decode import Floats


@dataclass(frozen=True, kw_only=True)
class PriorVectors:
    """Image vectors of training pictures, from prior.npy of a bundle."""

    mean: Floats
    """[M], over the whole training split."""
    sample: Floats
    """[K, M], of single pictures."""

    def of(self, prior: Prior) -> Floats:
        """The vectors [k, M] whose mean probability is the prior: K, one or none."""
        if prior is Prior.TRAIN:
            return self.sample
        return self.mean[None] if prior is Prior.MEAN else self.sample[:0]

    def to_npy(self) -> bytes:
        """The bytes of prior.npy: float32 [1 + K, M], the mean first."""
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate([self.mean[None], self.sample]), allow_pickle=False)
        return buffer.getvalue()

    @classmethod
    def from_npy(cls, data: bytes) -> "PriorVectors":
        """Read prior.npy. Raises ValueError if it is no such array, or a number is not finite."""
        try:
            rows = np.load(io.BytesIO(data), allow_pickle=False)
        except (EOFError, OSError) as error:
            raise ValueError(f"is no array of numpy ({error})") from None
        if not isinstance(rows, np.ndarray) or rows.dtype != np.float32 or rows.ndim != 2:
            raise ValueError("is no float32 array of two dimensions")
        if len(rows) < 2 or not np.isfinite(rows).all():
            raise ValueError("needs a mean and one picture at least, all numbers finite")
        return cls(mean=rows[0], sample=rows[1:])
