"""The paper's cost: mean bits a word (log2 perplexity) over the words of a batch, plus an L2 term.

    C = (1/N) sum_n -log2 P(w_n | w_1..n-1, I)  +  lambda ||theta||^2        (Mao et al. 2014, §4)

N counts every predicted position, the end sign included. Takes logits and targets; knows no model.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from mrnn_edge.decode.score import BITS_PER_NAT


def bits_per_word(logits: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean bits of the targets int64 [P] under logits float32 [P, V], a scalar.

    With smoothing s the target is 1 - s of the word, plus s spread evenly over the vocabulary.
    """
    nats = functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    return nats * BITS_PER_NAT


def squared_norm(parameters: Iterable[Tensor]) -> Tensor:
    """||theta||^2 over parameters of any shape, a float32 scalar."""
    return torch.stack([parameter.square().sum() for parameter in parameters]).sum()
