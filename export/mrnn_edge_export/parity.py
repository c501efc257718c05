"""Torch against ONNX Runtime: the same numbers at several batches, the same captions word for word.

For a training run the torch side is the trained network before folding; for further training
(taught.py) it is the step. Takes both, gives figures; raises ModelError if a limit is exceeded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.decode.hypotheses import StepFunction
from mrnn_edge.engine.runtime import Graphs
from mrnn_edge.errors import ModelError
from mrnn_edge.image.read import Pixels, read_pixels
from mrnn_edge.language.captions import search_space
from mrnn_edge.options import DecodeOptions
from mrnn_edge.timing import Track, untracked
from mrnn_edge.verify import (
    BATCHES,
    LIMIT,
    Reference,
    likeliest,
    reference_pixels,
    run_steps,
)
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.network.encoders import EfficientNetLite
from mrnn_edge_train.network.model import MRNN
from mrnn_edge_train.stages.validation import best_sentences, image_vectors, step_function

_CHUNK = 32


@dataclass(frozen=True, kw_only=True)
class Network:
    """The trained network on the torch side."""

    cnn: EfficientNetLite
    model: MRNN

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> Floats:
        """uint8 [B, H, W, 3] -> image vectors float32 [B, M]."""
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
        found["step"][str(batch)] = step_difference(
            graphs.step,
            network.step,
            image,
            words=sizes.vocabulary,
            state=network.model.recurrent.state_size,
            random=random,
        )
    check_differences([value for graph in found.values() for value in graph.values()])
    return found


def step_difference(
    ours: StepFunction,
    theirs: StepFunction,
    images: Floats,
    *,
    words: int,
    state: int,
    random: np.random.Generator,
) -> float:
    """The largest difference of two steps over image vectors float32 [B, M], in random states."""
    token = random.integers(0, words, len(images))
    before = random.random((len(images), state), np.float32)
    return _worst(map(_largest, ours(token, before, images), theirs(token, before, images)))


def check_differences(found: Iterable[float]) -> None:
    """Raise ModelError if a difference is above the limit or NaN."""
    worst = _worst(found)
    if not worst <= LIMIT:
        raise ModelError(f"torch and ONNX Runtime differ by {worst:.1e}, the limit is {LIMIT}")


def compare_captions(
    network: Network,
    graphs: Graphs,
    vocabulary: Vocabulary,
    pictures: Sequence[Path],
    decoding: DecodeOptions,
    *,
    track: Track = untracked,
) -> dict[str, int]:
    """How many pictures have equal captions. Raises ModelError if one differs."""
    space = search_space(vocabulary, state=network.model.recurrent.state_size)
    spec = _spec(network)
    starts = range(0, len(pictures), _CHUNK)
    for start in track(starts, "parity", len(starts)):
        chunk = pictures[start : start + _CHUNK]
        pixels = np.stack([read_pixels(path, spec) for path in chunk])
        torch_side = best_sentences(network.step, network.encode(pixels), space, decoding)
        onnx_side = best_sentences(graphs.step, graphs.encoder(pixels), space, decoding)
        check_sentences(onnx_side, torch_side, vocabulary, names=[path.name for path in chunk])
    return {"compared": len(pictures), "equal": len(pictures)}


def check_sentences(
    ours: Sequence[Sequence[int]],
    theirs: Sequence[Sequence[int]],
    vocabulary: Vocabulary,
    *,
    names: Sequence[str],
) -> None:
    """Raise ModelError, naming the picture, if ONNX Runtime and torch give different captions."""
    for name, one, other in zip(names, ours, theirs, strict=True):
        if one != other:
            raise ModelError(
                f"{name}: ONNX Runtime says {' '.join(vocabulary.decode(one))!r}, "
                f"torch {' '.join(vocabulary.decode(other))!r}"
            )


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
    """A step's answers to the image vector float32 [1, M] of the fixed picture."""
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


def _worst(differences: Iterable[float]) -> float:
    # numpy's maximum keeps NaN, Python's may drop it.
    return float(np.max(list(differences)))
