"""The m-RNN of Mao et al. 2014 in PyTorch: six layers a time frame, the image in the fifth.

    word            one-hot x(t), given as its id
    embedding I     e(t) = E_1 x(t)
    embedding II    w(t) = E_2 e(t) + b_2
    recurrent       r(t) = ReLU(U_r r(t-1) + w(t)),  r(0) = 0     (or another cell, cells.py)
    multimodal      m(t) = g(V_w w(t) + V_r r(t) + V_I I + b_m),  g(x) = 1.7159 tanh(2x/3)
    softmax         P(next word | words so far, image) = softmax(W m(t) + b)
                    or, tied, softmax(E_1^T W m(t) + b)

The image enters at the multimodal layer, at every step, and nowhere else. The paper does not say
whether the embeddings have an activation (here: none) or which layers have a bias (here: embedding
II, the image's map and the softmax). I is the CNN's vector, standardised a dimension over the
training split and divided by 8: without that dev CIDEr after two epochs was 0.18 in place of 0.33.

Tied embeddings share embedding I with the softmax (Mao et al. 2015, "Learning like a child",
transposed weight sharing): W shrinks from [V, M] to [E, M].

Takes ids and CNN features, gives logits; knows neither words nor pictures.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mrnn_edge_train.network.cells import Cell, make_cell, rows_of

FEATURE_DIVISOR = 8.0
_GAIN = 1.7159


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """Shape of the network. The defaults are the paper's."""

    vocabulary: int
    feature: int
    """D, the CNN's vector."""
    embedding: int = 128
    """Embedding I."""
    state: int = 256
    """Embedding II and the recurrent layer, which are added."""
    multimodal: int = 512
    cell: Cell = Cell.RELU
    tied: bool = False
    """The softmax uses embedding I."""


@dataclass(frozen=True, kw_only=True)
class Dropouts:
    """Shares of units dropped in training."""

    image: float = 0.0
    """Of the standardised CNN vector."""
    word: float = 0.0
    """Of w(t)."""
    multimodal: float = 0.0
    """Of m(t)."""


def scaled_tanh(x: Tensor) -> Tensor:
    """g(x) = 1.7159 tanh(2x/3) of float32 [...], LeCun's "Efficient BackProp"."""
    return _GAIN * torch.tanh(x * (2.0 / 3.0))


def scaled_tanh_slope(value: Tensor) -> Tensor:
    """g'(x) from g(x), float32 [...]: 2/3 (1.7159 - g(x)^2 / 1.7159)."""
    return (2.0 / 3.0) * (_GAIN - value * value / _GAIN)


class TiedSoftmax(nn.Module):
    """m(t) -> E_1^T W m(t) + b; E_1 belongs to embedding I and is passed at each call."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__()
        self.projection = nn.Linear(sizes.multimodal, sizes.embedding, bias=False)
        self.bias = nn.Parameter(torch.zeros(sizes.vocabulary))

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """float32 [..., M] and [V, E] -> logits [..., V]."""
        return functional.linear(self.projection(hidden), embedding, self.bias)


class MRNN(nn.Module):
    """The language and multimodal parts; the CNN stands before it (encoders.py)."""

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, sizes: ModelSizes, dropouts: Dropouts | None = None) -> None:
        super().__init__()
        dropouts = dropouts or Dropouts()
        self.sizes = sizes
        self.embedding_1 = nn.Embedding(sizes.vocabulary, sizes.embedding)
        self.embedding_2 = nn.Linear(sizes.embedding, sizes.state)
        self.recurrent = make_cell(Cell(sizes.cell), sizes.state)
        self.word_to_multimodal = nn.Linear(sizes.state, sizes.multimodal, bias=False)
        self.state_to_multimodal = nn.Linear(sizes.state, sizes.multimodal, bias=False)
        self.image_to_multimodal = nn.Linear(sizes.feature, sizes.multimodal)
        self.softmax: nn.Linear | TiedSoftmax = (
            TiedSoftmax(sizes) if sizes.tied else nn.Linear(sizes.multimodal, sizes.vocabulary)
        )
        self.drop_image = nn.Dropout(dropouts.image)
        self.drop_word = nn.Dropout(dropouts.word)
        self.drop_multimodal = nn.Dropout(dropouts.multimodal)
        self.register_buffer("feature_mean", torch.zeros(sizes.feature))
        self.register_buffer("feature_scale", torch.ones(sizes.feature))
        if sizes.tied:
            # At the default spread of 1 the first logits would be confident and wrong.
            nn.init.normal_(self.embedding_1.weight, std=sizes.embedding**-0.5)

    @torch.no_grad()
    def standardise_on(self, features: Tensor) -> None:
        """Set mean and spread from the CNN's vectors, float32 [N, D], of the training split."""
        self.feature_mean.copy_(features.mean(dim=0))
        spread = features.std(dim=0)
        # The floor keeps a nearly constant dimension from being amplified. In EfficientNet-Lite2
        # over Flickr8K it affects none of the 1,280.
        spread = spread.clamp_min(0.1 * float(spread.mean()) + 1e-6)
        self.feature_scale.copy_(1.0 / (spread * FEATURE_DIVISOR))

    def image_vector(self, features: Tensor) -> Tensor:
        """CNN vectors float32 [B, D] -> V_I I + b_m [B, M], constant over a sentence."""
        standardised = (features - self.feature_mean) * self.feature_scale
        projected: Tensor = self.image_to_multimodal(self.drop_image(standardised))
        return projected

    def word_vector(self, tokens: Tensor) -> Tensor:
        """Ids int64 [...] -> w(t) float32 [..., R]."""
        vector: Tensor = self.embedding_2(self.embedding_1(tokens))
        return vector

    def multimodal(self, word: Tensor, state: Tensor, image: Tensor) -> Tensor:
        """w(t), r(t) [..., R] and V_I I [..., M] -> m(t) [..., M]."""
        return scaled_tanh(self.word_to_multimodal(word) + self.state_to_multimodal(state) + image)

    def logits(self, hidden: Tensor) -> Tensor:
        """m(t) [..., M] -> logits [..., V]."""
        if isinstance(self.softmax, TiedSoftmax):
            tied: Tensor = self.softmax(hidden, self.embedding_1.weight)
            return tied
        plain: Tensor = self.softmax(hidden)
        return plain

    def step(self, token: Tensor, state: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """One time frame: int64 [B], float32 [B, S], [B, M] -> log-probabilities [B, V], [B, S].

        S is `recurrent.state_size`; the first state is zeros.
        """
        word = self.word_vector(token)
        state = self.recurrent.advance(self.recurrent.drive(word), state)
        hidden = self.multimodal(word, self.recurrent.output(state), image)
        return torch.log_softmax(self.logits(hidden), dim=-1), state

    def forward(self, tokens: Tensor, features: Tensor, mask: Tensor) -> Tensor:
        """Teacher forcing: ids int64 [B, T], CNN vectors float32 [B, D] -> logits [P, V].

        P counts the positions where `mask`, bool [B, T], is true, row by row; the layers after
        the recurrence, most of the work, are computed only there.
        """
        word = self.drop_word(self.word_vector(tokens))
        drive = self.recurrent.drive(word)
        state = word.new_zeros(word.shape[0], self.recurrent.state_size)
        states = []
        for time in range(tokens.shape[1]):
            state = self.recurrent.advance(drive[:, time], state)
            states.append(self.recurrent.output(state))
        image = rows_of(self.image_vector(features), mask.nonzero()[:, 0])
        hidden = self.multimodal(word[mask], torch.stack(states, dim=1)[mask], image)
        return self.logits(self.drop_multimodal(hidden))
