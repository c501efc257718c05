"""Dev figures of a network in training: perplexity and captions, in torch.

Takes a network on any device, CNN vectors and decoding options; gives numbers and ids. Beam search
runs on the CPU, in numpy. Export compares the same captions with ONNX Runtime's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mrnn_edge.arrays import Floats, Ids
from mrnn_edge.decode.beam import beam_search
from mrnn_edge.decode.constraints import Constraints
from mrnn_edge.decode.hypotheses import SearchSpace, StepFunction
from mrnn_edge.language.captions import search_space
from mrnn_edge.options import DecodeOptions
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.evaluation.metrics import cider
from mrnn_edge_train.network.cost import bits_per_word
from mrnn_edge_train.network.model import MRNN
from mrnn_edge_train.stages.batches import Batch, Examples
from mrnn_edge_train.stages.features import FeatureTable
from mrnn_edge_train.torch_device import Weighted, device_of, moved

_CHUNK = 250
"""Pictures in a batch of beam search."""


@dataclass(frozen=True, kw_only=True)
class DevFigures:
    """Figures on dev."""

    perplexity: float
    cider: float
    by_set: Mapping[str, float] | None = None
    """CIDEr of each dev set, if there are several."""


def dev_figures(
    model: MRNN,
    images: Sequence[CaptionedImage],
    table: FeatureTable,
    vocabulary: Vocabulary,
    decoding: DecodeOptions,
) -> DevFigures:
    """Perplexity of the pictures' sentences, and CIDEr of the generated captions."""
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
        """Ids int64 [B, T], vectors float32 [B, D], mask bool [B, T] -> logits float32 [P, V]."""
        ...


@torch.inference_mode()
def perplexity(model: Reads, batches: Iterable[Batch]) -> float:
    """2 ** (mean bits a word) over all sentences, the end signs included.

    The caller sets `model` to inference mode, which switches dropout off.
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
    """The ids of the best sentence for each image vector of float32 [N, M]."""
    constraints = Constraints(no_repeat_ngram=options.no_repeat_ngram)
    found = []
    for at in range(0, len(images), _CHUNK):
        found += beam_search(
            step,
            images[at : at + _CHUNK],
            space,
            width=options.width,
            max_words=options.max_words,
            length_penalty=options.length_penalty or 0.0,
            constraints=constraints,
        )
    return [hypotheses[0].tokens for hypotheses in found]


@torch.inference_mode()
def image_vectors(model: MRNN, features: Floats) -> Floats:
    """CNN vectors float32 [N, D] -> image vectors float32 [N, M]."""
    given = torch.from_numpy(features).to(device_of(model))
    vectors: Floats = model.image_vector(given).cpu().numpy()
    return vectors


class Steps(Weighted, Protocol):
    """A network that goes one time frame at a time, as `MRNN.step` says."""

    def step(self, token: Tensor, state: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [B], float32 [B, S], [B, M] -> log-probabilities [B, V], state [B, S]."""
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
