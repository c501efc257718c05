"""What a network is worth while it trains: perplexity and captions, on the torch side.

Takes a network on any device, CNN vectors and a decoding; gives numbers and ids. The beam is
searched on the CPU, in numpy. Export compares the same captions with ONNX Runtime's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mrnn_edge.config import DecodeOptions
from mrnn_edge.constraints import Constraints
from mrnn_edge.decode import Floats, Ids, SearchSpace, StepFunction, beam_search
from mrnn_edge.generation import search_space
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.batches import Batch, Examples
from mrnn_edge_train.cost import bits_per_word
from mrnn_edge_train.device import Weighted, device_of, moved
from mrnn_edge_train.features import FeatureTable
from mrnn_edge_train.flickr8k import CaptionedImage
from mrnn_edge_train.metrics import cider
from mrnn_edge_train.model import MRNN

_CHUNK = 250
"""Pictures decoded together."""


@dataclass(frozen=True, kw_only=True)
class DevFigures:
    """What a network is worth."""

    perplexity: float
    cider: float
    by_set: Mapping[str, float] | None = None
    """CIDEr of each dev set, where there are several."""


def dev_figures(
    model: MRNN,
    images: Sequence[CaptionedImage],
    table: FeatureTable,
    vocabulary: Vocabulary,
    decoding: DecodeOptions,
) -> DevFigures:
    """Perplexity of the pictures' sentences, CIDEr of the captions given to them."""
    found = best_sentences(
        step_function(model),
        image_vectors(model, table.features),
        search_space(vocabulary, state=model.recurrent.state_size),
        decoding,
    )
    examples = Examples(images, table, vocabulary)
    return DevFigures(
        perplexity=perplexity(model, examples.in_order()),
        cider=cider(
            [image.sentences for image in images], [vocabulary.decode(ids) for ids in found]
        ),
    )


class Reads(Weighted, Protocol):
    """A network that reads whole sentences, as `MRNN.forward` says."""

    def __call__(self, tokens: Tensor, features: Tensor, mask: Tensor, /) -> Tensor:
        """Ids and mask [B, T], pictures' vectors [B, D] -> logits [P, V]."""
        ...


@torch.inference_mode()
def perplexity(model: Reads, batches: Iterable[Batch]) -> float:
    """2 ** (mean bits a word) over all sentences, the end signs included.

    In inference mode: what `model` drops in training it must be told to keep.
    """
    bits, words = 0.0, 0
    for each in batches:
        batch = moved(each, device_of(model))
        logits = model(batch.inputs, batch.features, batch.mask)
        bits += float(bits_per_word(logits, batch.targets)) * len(batch.targets)
        words += len(batch.targets)
    return float(2.0 ** (bits / words))


def best_sentences(
    step: StepFunction, images: Floats, space: SearchSpace, options: DecodeOptions
) -> list[tuple[int, ...]]:
    """The ids of the best sentence for each image vector of [N, M]."""
    return [group[0] for group in likely_sentences(step, images, space, options)]


def likely_sentences(
    step: StepFunction, images: Floats, space: SearchSpace, options: DecodeOptions
) -> list[list[tuple[int, ...]]]:
    """The ids of all sentences that the beam ends with, best first, for each image vector."""
    found = []
    for at in range(0, len(images), _CHUNK):
        found += beam_search(
            step,
            images[at : at + _CHUNK],
            space,
            width=options.width,
            max_words=options.max_words,
            length_penalty=options.length_penalty or 0.0,
            constraints=Constraints(no_repeat_ngram=options.no_repeat_ngram),
        )
    return [[each.tokens for each in hypotheses] for hypotheses in found]


@torch.inference_mode()
def image_vectors(model: MRNN, features: Floats) -> Floats:
    """CNN vectors [N, D] -> image vectors [N, M]."""
    given = torch.from_numpy(features).to(device_of(model))
    vectors: Floats = model.image_vector(given).cpu().numpy()
    return vectors


class Steps(Weighted, Protocol):
    """A network that goes one time frame at a time, as `MRNN.step` says."""

    def step(self, token: Tensor, state: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [B], [B, S], [B, M] -> log-probabilities [B, V], state [B, S]."""
        ...


def step_function(model: Steps) -> StepFunction:
    """The network's step as the decoder calls it, numpy in and out."""
    here = device_of(model)

    @torch.inference_mode()
    def step(token: Ids, state: Floats, image: Floats) -> tuple[Floats, Floats]:
        token_t, state_t, image_t = (
            torch.from_numpy(np.ascontiguousarray(each)).to(here) for each in (token, state, image)
        )
        log_probs, next_state = model.step(token_t, state_t, image_t)
        return log_probs.cpu().numpy(), next_state.cpu().numpy()

    return step
