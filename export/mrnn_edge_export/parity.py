"""Torch against ONNX Runtime: the same numbers at several batches, the same captions word for word.

The torch side is the network as it was trained, not the folded one. Takes both, gives figures;
raises ModelError where a limit is passed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mrnn_edge.config import DecodeOptions, ImageSpec
from mrnn_edge.decode import Floats, StepFunction
from mrnn_edge.errors import ModelError
from mrnn_edge.generation import search_space
from mrnn_edge.image import Pixels, read_pixels
from mrnn_edge.progress import Track, untracked
from mrnn_edge.runtime import Graphs
from mrnn_edge.verify import (
    BATCHES,
    LIMIT,
    Reference,
    likeliest,
    reference_pixels,
    run_steps,
)
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.encoders import EfficientNetLite
from mrnn_edge_train.model import MRNN
from mrnn_edge_train.validation import best_sentences, image_vectors, step_function

_CHUNK = 32


@dataclass(frozen=True, kw_only=True)
class Network:
    """The trained network on the torch side."""

    cnn: EfficientNetLite
    model: MRNN

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> Floats:
        """uint8 [B, H, W, 3] -> image vectors [B, M]."""
        features = self.cnn(torch.from_numpy(np.ascontiguousarray(pixels)))
        return image_vectors(self.model, features.numpy())

    @property
    def step(self) -> StepFunction:
        """The step as the decoder calls it."""
        return step_function(self.model)


def largest_differences(network: Network, graphs: Graphs) -> dict[str, dict[str, float]]:
    """By graph and batch the largest absolute difference. Raises ModelError above the limit."""
    random = np.random.default_rng(7)
    sizes = network.model.sizes
    base = reference_pixels(_spec(network))
    found: dict[str, dict[str, float]] = {"encoder": {}, "step": {}}
    for batch in BATCHES:
        pixels = np.stack([np.roll(base, 3 * shift, axis=1) for shift in range(batch)])
        image = network.encode(pixels)
        found["encoder"][str(batch)] = _largest(graphs.encoder(pixels), image)
        token = random.integers(0, sizes.vocabulary, batch)
        state = random.random((batch, network.model.recurrent.state_size), np.float32)
        ours, theirs = graphs.step(token, state, image), network.step(token, state, image)
        found["step"][str(batch)] = max(map(_largest, ours, theirs))
    # numpy's maximum keeps a NaN, Python's drops it.
    worst = np.max([value for graph in found.values() for value in graph.values()])
    if not worst <= LIMIT:
        raise ModelError(f"torch and ONNX Runtime differ by {worst:.1e}, the limit is {LIMIT}")
    return found


def compare_captions(
    network: Network,
    graphs: Graphs,
    vocabulary: Vocabulary,
    pictures: Sequence[Path],
    decoding: DecodeOptions,
    *,
    track: Track = untracked,
) -> dict[str, int]:
    """How many pictures were captioned alike. Raises ModelError if one was not."""
    space = search_space(vocabulary, state=network.model.recurrent.state_size)
    spec = _spec(network)
    equal = 0
    starts = range(0, len(pictures), _CHUNK)
    for start in track(starts, "parity", len(starts)):
        chunk = pictures[start : start + _CHUNK]
        pixels = np.stack([read_pixels(path, spec) for path in chunk])
        torch_side = best_sentences(network.step, network.encode(pixels), space, decoding)
        onnx_side = best_sentences(graphs.step, graphs.encoder(pixels), space, decoding)
        for path, ours, theirs in zip(chunk, onnx_side, torch_side, strict=True):
            if ours != theirs:
                raise ModelError(
                    f"{path.name}: ONNX Runtime says {' '.join(vocabulary.decode(ours))!r}, "
                    f"torch {' '.join(vocabulary.decode(theirs))!r}"
                )
            equal += 1
    return {"compared": len(pictures), "equal": equal}


def reference(network: Network, vocabulary: Vocabulary, decoding: DecodeOptions) -> Reference:
    """Torch's answers on the fixed picture, for `mrnn-edge verify` on machines without torch."""
    image = network.encode(reference_pixels(_spec(network))[None])
    state = network.model.recurrent.state_size
    return reference_of(network.step, image, vocabulary, decoding, state=state)


def reference_of(
    step: StepFunction,
    image: Floats,
    vocabulary: Vocabulary,
    decoding: DecodeOptions,
    *,
    state: int,
) -> Reference:
    """A step's answers to the image vector [1, M] of the fixed picture."""
    space = search_space(vocabulary, state=state)
    log_probs = run_steps(step, image[0], start=space.start, state=space.state)
    (tokens,) = best_sentences(step, image, space, decoding)
    return Reference(
        image=image[0],
        top=likeliest(log_probs),
        caption=" ".join(vocabulary.decode(tokens)),
        decoding=decoding,
    )


def _spec(network: Network) -> ImageSpec:
    return ImageSpec(height=network.cnn.size, width=network.cnn.size)


def _largest(ours: Floats, theirs: Floats) -> float:
    return float(np.abs(ours - theirs).max())
