"""The step of an exported model as a trainable network: tables in place of layers.

    r(t) = cell(D x(t), r(t-1)),  m(t) = g(T x(t) + V_r r(t) + V_I I),  P = softmax(W P m(t) + b)

D and T are the lookup tables of step.onnx, one row a word; V_I I is the image vector that the
encoder graph gives. Words that were taught later have rows of their own behind the others (Mao
et al. 2015, "Learning like a child"). A step weighs them against all other words together:

    odds = P(taught) / P(all other words), as the softmax over all of them gives it

If the odds are below LEAST, the other words keep their probabilities to the last bit, and the
taught word's is added: the sum then exceeds 1 by less than LEAST for each taught word. So captions
stay the same wherever a new word is out of place. Above LEAST it is the ordinary softmax. Takes ids
and image vectors, gives log-probabilities; knows no words.
"""

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mrnn_edge_train.network.cells import Cell, make_cell, rows_of
from mrnn_edge_train.network.model import scaled_tanh

LEAST: Final = 0.01
"""Odds below which a taught word leaves the others unchanged. Words in captions have 0.05 and more;
a smaller number brings the sum of all probabilities nearer to 1."""

_WORD_ROWS: Final = ("drive_table", "multimodal_table", "taught_words", "taught_bias")
"""The weights with a row for each taught word."""

_CELLS: Final = {1: Cell.RELU, 3: Cell.GRU, 4: Cell.LSTM}
"""Cells by their number of gates."""


class FoldedStep(nn.Module):
    """A step with V original words and K taught ones.

    Weights: drive_table [V + K, gates * R], multimodal_table [V + K, M], recurrent.* (cells.py),
    state_to_multimodal [M, R], projection [E, M] where the embeddings are tied, words [V, E or M],
    bias [V], taught_words [K, E or M], taught_bias [K].
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Raises KeyError, ValueError or RuntimeError if these are not the weights of a step."""
        super().__init__()
        gates, units = weights["recurrent.weight"].shape
        self.recurrent = make_cell(_CELLS[gates // units], units)
        if hasattr(self.recurrent, "input"):
            # The drive table holds its outputs.
            self.recurrent.add_module("input", nn.Identity())
        self.drive_table = _parameter(weights["drive_table"])
        self.multimodal_table = _parameter(weights["multimodal_table"])
        self.state_to_multimodal = _parameter(weights["state_to_multimodal"])
        self.projection = _parameter(weights["projection"]) if "projection" in weights else None
        self.words = _parameter(weights["words"])
        self.bias = _parameter(weights["bias"])
        none = self.words.detach()[:0]
        self.taught_words = _parameter(weights.get("taught_words", none))
        self.taught_bias = _parameter(weights.get("taught_bias", none[:, 0]))
        cell = {key: value for key, value in weights.items() if key.startswith("recurrent.")}
        self.load_state_dict({**self.state_dict(), **cell})
        self._check()

    def _check(self) -> None:
        words, units = len(self.words) + len(self.taught_words), self.recurrent.units
        multimodal = self.multimodal_table.shape[1]
        hidden = multimodal if self.projection is None else len(self.projection)
        expected = {
            "drive_table": (words, self.recurrent.gates * units),
            "multimodal_table": (words, multimodal),
            "state_to_multimodal": (multimodal, units),
            "words": (len(self.words), hidden),
            "bias": (len(self.words),),
            "taught_words": (len(self.taught_words), hidden),
            "taught_bias": (len(self.taught_words),),
            **({} if self.projection is None else {"projection": (hidden, multimodal)}),
        }
        for name, shape in expected.items():
            found = tuple(self.get_parameter(name).shape)
            if found != shape:
                raise ValueError(f"{name} is {list(found)}, expected {list(shape)}")

    @property
    def vocabulary(self) -> int:
        """V + K."""
        return len(self.words) + len(self.taught_words)

    def weights(self) -> dict[str, Tensor]:
        """Copies of the weights by name, as the constructor takes them."""
        return {name: value.clone() for name, value in self.state_dict().items()}

    def with_rows(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights with a row for each taught word, with `rows`, [1, ...] each, behind them."""
        return {name: torch.cat([self.get_parameter(name), rows[name]]) for name in _WORD_ROWS}

    def merged(self) -> "FoldedStep":
        """The same network with taught words as ordinary ones, to train all of it further."""
        weights = self.weights()
        weights["words"] = torch.cat([weights["words"], weights.pop("taught_words")])
        weights["bias"] = torch.cat([weights["bias"], weights.pop("taught_bias")])
        return FoldedStep(weights)

    def multimodal(self, token: Tensor, output: Tensor, image: Tensor) -> Tensor:
        """Ids int64 [...], r(t) float32 [..., R], image vectors [..., M] -> m(t) [..., M]."""
        from_state = functional.linear(output, self.state_to_multimodal)
        return scaled_tanh(rows_of(self.multimodal_table, token) + from_state + image)

    def projected(self, hidden: Tensor) -> Tensor:
        """m(t) float32 [..., M] -> [..., E or M], the factor of the words' rows."""
        return hidden if self.projection is None else functional.linear(hidden, self.projection)

    def logits(self, projected: Tensor) -> Tensor:
        """float32 [..., E or M] -> logits [..., V + K] of the ordinary softmax."""
        words = torch.cat([self.words, self.taught_words])
        return functional.linear(projected, words, torch.cat([self.bias, self.taught_bias]))

    def log_probs(self, projected: Tensor) -> Tensor:
        """float32 [..., E or M] -> natural log-probabilities [..., V + K]."""
        if not len(self.taught_words):
            return torch.log_softmax(functional.linear(projected, self.words, self.bias), dim=-1)
        others, odds, counted = self._weighed(projected)
        # log 1 is exactly 0, so the minuend stays the same.
        rest = torch.log(1.0 + counted.sum(dim=-1, keepdim=True))
        return torch.cat([others, odds], dim=-1) - rest

    def shares(self, projected: Tensor) -> Tensor:
        """float32 [..., E or M] -> [..., V + K]: d log P(w) / d logits = onehot(w) - shares.

        The probabilities, but 0 for taught words that leave the others unchanged.
        """
        others, _, counted = self._weighed(projected)
        return torch.cat([others.exp(), counted], dim=-1) / (
            1.0 + counted.sum(dim=-1, keepdim=True)
        )

    def _weighed(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities among the V words; the logarithm of each taught word's odds against
        them; the odds, 0 if below LEAST."""
        logits = functional.linear(projected, self.words, self.bias)
        others = torch.log_softmax(logits, dim=-1)
        total = (logits - others)[..., :1]
        odds = functional.linear(projected, self.taught_words, self.taught_bias) - total
        counted = torch.where(odds < math.log(LEAST), torch.zeros_like(odds), torch.exp(odds))
        return others, odds, counted

    def step(self, token: Tensor, state: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """One time frame: int64 [B], float32 [B, S], [B, M] -> log P [B, V + K], state [B, S]."""
        state = self.recurrent.advance(rows_of(self.drive_table, token), state)
        hidden = self.multimodal(token, self.recurrent.output(state), image)
        return self.log_probs(self.projected(hidden)), state

    def states(self, tokens: Tensor) -> Tensor:
        """Ids int64 [B, T] -> r(t) float32 [B, T, R]."""
        state = self.drive_table.new_zeros(len(tokens), self.recurrent.state_size)
        found = []
        for time in range(tokens.shape[1]):
            state = self.recurrent.advance(rows_of(self.drive_table, tokens[:, time]), state)
            found.append(self.recurrent.output(state))
        return torch.stack(found, dim=1)

    def forward(self, tokens: Tensor, images: Tensor, mask: Tensor, drop: float = 0.0) -> Tensor:
        """Teacher forcing: ids int64 [B, T], image vectors float32 [B, M] -> logits [P, V + K].

        P counts the positions where `mask`, bool [B, T], is true, row by row; `drop` is the
        dropout share of m(t).
        """
        image = rows_of(images, mask.nonzero()[:, 0])
        hidden = self.multimodal(tokens[mask], self.states(tokens)[mask], image)
        return self.logits(self.projected(functional.dropout(hidden, drop)))


def _parameter(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone())
