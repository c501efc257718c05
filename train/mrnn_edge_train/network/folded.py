"""The step of an exported model as a network that can be trained on: tables in place of layers.

    r(t) = cell(D x(t), r(t-1)),  m(t) = g(T x(t) + V_r r(t) + V_I I),  P = softmax(W P m(t) + b)

D and T are the lookup tables of step.onnx, one row a word; V_I I is the image vector that the
encoder graph gives. Words that were taught later stand in rows of their own behind the others
(Mao et al. 2015, "Learning like a child"). In a step they are weighed against the rest as a whole:

    odds = P(taught) / P(all other words), as the softmax over all of them gives it

Where the odds are below LEAST the other words keep their probabilities to the last bit, and the
taught word's stand beside them: the sum is then above 1, by less than LEAST for each taught word.
So a model keeps saying what it said wherever a new word is out of place. Above LEAST the softmax
is the ordinary one. Takes ids and image vectors, gives log-probabilities; knows no words.
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
"""Odds below which a taught word takes nothing from the others. Words of captions have 0.05 and
more; the smaller the number, the nearer the sum of all probabilities is to 1."""

_WORD_ROWS: Final = ("drive_table", "multimodal_table", "taught_words", "taught_bias")
"""The weights that have a row for each taught word."""

_CELLS: Final = {1: Cell.RELU, 3: Cell.GRU, 4: Cell.LSTM}
"""By the number of their gates."""


class FoldedStep(nn.Module):
    """V words that the model was trained with, K that it was taught.

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
            # The drive table holds what it would give.
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
        """What a FoldedStep is made of; copies."""
        return {name: value.clone() for name, value in self.state_dict().items()}

    def with_rows(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of the weights those that have a row for each taught word, with such rows behind them."""
        return {name: torch.cat([self.get_parameter(name), rows[name]]) for name in _WORD_ROWS}

    def merged(self) -> "FoldedStep":
        """The same network with the taught words among the others, for training all of it on."""
        weights = self.weights()
        weights["words"] = torch.cat([weights["words"], weights.pop("taught_words")])
        weights["bias"] = torch.cat([weights["bias"], weights.pop("taught_bias")])
        return FoldedStep(weights)

    def multimodal(self, token: Tensor, shown: Tensor, image: Tensor) -> Tensor:
        """Ids [...], r(t) [..., R] and image vectors [..., M] -> m(t) [..., M]."""
        from_state = functional.linear(shown, self.state_to_multimodal)
        return scaled_tanh(rows_of(self.multimodal_table, token) + from_state + image)

    def projected(self, hidden: Tensor) -> Tensor:
        """m(t) [..., M] -> what the words' rows are multiplied with [..., E or M]."""
        return hidden if self.projection is None else functional.linear(hidden, self.projection)

    def logits(self, projected: Tensor) -> Tensor:
        """[..., E or M] -> logits [..., V + K] of the ordinary softmax."""
        words = torch.cat([self.words, self.taught_words])
        return functional.linear(projected, words, torch.cat([self.bias, self.taught_bias]))

    def log_probs(self, projected: Tensor) -> Tensor:
        """[..., E or M] -> natural log-probabilities [..., V + K]."""
        if not len(self.taught_words):
            return torch.log_softmax(functional.linear(projected, self.words, self.bias), dim=-1)
        others, odds, heard = self._weighed(projected)
        # The logarithm of 1 is exactly 0, and what it is taken from stays as it is.
        rest = torch.log(1.0 + heard.sum(dim=-1, keepdim=True))
        return torch.cat([others, odds], dim=-1) - rest

    def shares(self, projected: Tensor) -> Tensor:
        """[..., E or M] -> [..., V + K]: d log P(w) / d logits = onehot(w) - shares.

        The probabilities, but 0 for the taught words that take nothing from the others.
        """
        others, _, heard = self._weighed(projected)
        return torch.cat([others.exp(), heard], dim=-1) / (1.0 + heard.sum(dim=-1, keepdim=True))

    def _weighed(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of the V words among themselves; the logarithm of each taught word's
        odds against them; the odds, 0 where they are below LEAST."""
        logits = functional.linear(projected, self.words, self.bias)
        others = torch.log_softmax(logits, dim=-1)
        total = (logits - others)[..., :1]
        odds = functional.linear(projected, self.taught_words, self.taught_bias) - total
        heard = torch.where(odds < math.log(LEAST), torch.zeros_like(odds), torch.exp(odds))
        return others, odds, heard

    def step(self, token: Tensor, state: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """One time frame: int64 [B], [B, S], [B, M] -> log-probabilities [B, V + K], state."""
        state = self.recurrent.advance(rows_of(self.drive_table, token), state)
        hidden = self.multimodal(token, self.recurrent.output(state), image)
        return self.log_probs(self.projected(hidden)), state

    def states(self, tokens: Tensor) -> Tensor:
        """Ids [B, T] -> r(t) [B, T, R]."""
        state = self.drive_table.new_zeros(len(tokens), self.recurrent.state_size)
        found = []
        for time in range(tokens.shape[1]):
            state = self.recurrent.advance(rows_of(self.drive_table, tokens[:, time]), state)
            found.append(self.recurrent.output(state))
        return torch.stack(found, dim=1)

    def forward(self, tokens: Tensor, images: Tensor, mask: Tensor, drop: float = 0.0) -> Tensor:
        """Teacher forcing: ids [B, T], image vectors [B, M] -> logits [P, V + K].

        P counts the positions where `mask` [B, T] is true, row by row; `drop` is the share of
        m(t) that is dropped.
        """
        image = rows_of(images, mask.nonzero()[:, 0])
        hidden = self.multimodal(tokens[mask], self.states(tokens)[mask], image)
        return self.logits(self.projected(functional.dropout(hidden, drop)))


def _parameter(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone())
