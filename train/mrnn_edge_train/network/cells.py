"""Recurrent cells in two parts: what depends on the word alone, and the rest.

    relu    r(t) = ReLU(U_r r(t-1) + w(t))                                   (Mao et al. 2014)
    gru     z, g = sigmoid(W w(t) + b + U r(t-1)),  n = tanh(W w(t) + b + g (U r(t-1) + c))
            r(t) = (1 - z) n + z r(t-1)                      (Cho et al. 2014, as torch.nn.GRU)
    lstm    i, f, o = sigmoid(W w(t) + b + U r(t-1)),  n = tanh(W w(t) + b + U r(t-1))
            c(t) = f c(t-1) + i n,  r(t) = o tanh(c(t))      (Hochreiter and Schmidhuber 1997)

A cell takes w(t) and its state, gives its next state; an LSTM's state is r(t) and c(t) side by
side. `drive` is the first part; export makes a lookup table of it. Knows no words and no pictures.
"""

from abc import ABC, abstractmethod
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional


def rows_of(table: Tensor, rows: Tensor) -> Tensor:
    """`table[rows]`, float [N, D] and int64 [...] -> [..., D], with a reproducible gradient.

    The gradient of `table[rows]` is summed in parallel, and repeated rows in an order that changes
    from run to run: 200 gradients of 64 rows out of 60 came out in 60 versions (two threads,
    PyTorch 2.13.0). This one is always the same.
    """
    return functional.embedding(rows, table)


class Cell(StrEnum):
    """The available cells."""

    RELU = "relu"
    GRU = "gru"
    LSTM = "lstm"


class RecurrentCell(nn.Module, ABC):
    """R units over w(t) of R numbers. `weight` is U, [gates * R, R]."""

    gates: int
    """Number of gates, each a map of the state."""
    states: int = 1
    """Vectors of R numbers that the state holds."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units
        self.weight = nn.Parameter(torch.empty(self.gates * units, units))

    @property
    def state_size(self) -> int:
        """Length of the state."""
        return self.states * self.units

    @abstractmethod
    def drive(self, word: Tensor) -> Tensor:
        """w(t) float32 [..., R] -> the word's part of the gates [..., gates * R]."""

    @abstractmethod
    def advance(self, drive: Tensor, state: Tensor) -> Tensor:
        """float32 [B, gates * R] and state(t-1) [B, S] -> state(t) [B, S]."""

    def output(self, state: Tensor) -> Tensor:
        """State float32 [..., S] -> r(t) [..., R]."""
        return state


class ReluCell(RecurrentCell):
    """The paper's: no gate, no bias, w(t) added as it is."""

    gates = 1

    def __init__(self, units: int) -> None:
        super().__init__(units)
        with torch.no_grad():
            # Half the identity: a ReLU recurrence then neither explodes nor forgets at the start.
            self.weight.copy_(0.5 * torch.eye(units))

    def drive(self, word: Tensor) -> Tensor:
        """w(t) itself, [..., R]."""
        return word

    def advance(self, drive: Tensor, state: Tensor) -> Tensor:
        """State [B, S] -> [B, S]."""
        return torch.relu(functional.linear(state, self.weight) + drive)


class GatedCell(RecurrentCell):
    """A cell whose gates have a map of the word and a bias of their own."""

    def __init__(self, units: int) -> None:
        super().__init__(units)
        self.input = nn.Linear(units, self.gates * units)

    def drive(self, word: Tensor) -> Tensor:
        """W w(t) + b, [..., gates * R]."""
        driven: Tensor = self.input(word)
        return driven


class GruCell(GatedCell):
    """Gates in the order g, z, n."""

    gates = 3

    def __init__(self, units: int) -> None:
        super().__init__(units)
        self.bias = nn.Parameter(torch.zeros(units))
        _orthogonal(self.weight)

    def advance(self, drive: Tensor, state: Tensor) -> Tensor:
        """State [B, S] -> [B, S]."""
        reset_d, update_d, new_d = drive.chunk(3, dim=-1)
        reset_s, update_s, new_s = functional.linear(state, self.weight).chunk(3, dim=-1)
        reset = torch.sigmoid(reset_d + reset_s)
        update = torch.sigmoid(update_d + update_s)
        new = torch.tanh(new_d + reset * (new_s + self.bias))
        return new + update * (state - new)


class LstmCell(GatedCell):
    """Gates in the order i, f, n, o; f starts open (bias 1), so that the cell can remember."""

    gates = 4
    states = 2

    def __init__(self, units: int) -> None:
        super().__init__(units)
        _orthogonal(self.weight)
        with torch.no_grad():
            self.input.bias[units : 2 * units] = 1.0

    def advance(self, drive: Tensor, state: Tensor) -> Tensor:
        """State [B, S] -> [B, S]."""
        shown, kept = state.chunk(2, dim=-1)
        gates = drive + functional.linear(shown, self.weight)
        enter, forget, new, out = gates.chunk(4, dim=-1)
        kept = torch.sigmoid(forget) * kept + torch.sigmoid(enter) * torch.tanh(new)
        return torch.cat([torch.sigmoid(out) * torch.tanh(kept), kept], dim=-1)

    def output(self, state: Tensor) -> Tensor:
        """r(t) is the first half: [..., 2R] -> [..., R]."""
        return state[..., : self.units]


_CELLS: dict[Cell, type[RecurrentCell]] = {
    Cell.RELU: ReluCell,
    Cell.GRU: GruCell,
    Cell.LSTM: LstmCell,
}


def make_cell(cell: Cell, units: int) -> RecurrentCell:
    """A new cell of R units."""
    return _CELLS[cell](units)


@torch.no_grad()
def _orthogonal(weight: Tensor) -> None:
    """An orthogonal matrix for each gate, so that no gate loses the state at the start."""
    for gate in weight.chunk(weight.shape[0] // weight.shape[1]):
        nn.init.orthogonal_(gate)
