"""Read trainable weights from a model folder, and write a model folder from such weights.

The encoder is unchanged except for the bundle id in it; only the step is read, trained and written
again, and with it the gradient. Needs float32 graphs.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save
from torch import Tensor, nn

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import BundleConfig, GraphRole, Precision
from mrnn_edge.bundle.folder import Bundle
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.bundle.write import describe_graph
from mrnn_edge.decode.hypotheses import StepFunction
from mrnn_edge.engine.runtime import Graphs, open_graphs
from mrnn_edge.errors import ModelError
from mrnn_edge.language.captions import search_space
from mrnn_edge.options import DecodeOptions
from mrnn_edge.verify import BATCHES, LIMIT, reference_pixels
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_export.export import (
    describe_pair,
    describe_vectors,
    metadata_by_role,
    write_model,
)
from mrnn_edge_export.gradient import export_gradient_module
from mrnn_edge_export.modules import export_step_module, step_inputs
from mrnn_edge_export.parity import (
    check_differences,
    check_sentences,
    reference_of,
    step_difference,
)
from mrnn_edge_train.network.folded import FoldedStep
from mrnn_edge_train.network.model import scaled_tanh_slope
from mrnn_edge_train.stages.validation import best_sentences, step_function

_NAMES = {
    "recurrent.weight": "recurrent.weight",
    "recurrent.bias": "recurrent.bias",
    "state_to_multimodal.weight": "state_to_multimodal",
    "softmax.projection.weight": "projection",
    "softmax.weight": "words",
    "embedding_1.weight": "words",
    "softmax.bias": "bias",
}
"""Names of a trained network's weights in its step graph, and here."""


def read_step(bundle: Bundle, opened: StepFunction) -> FoldedStep:
    """The weights of a bundle's float32 step graph; `opened` is the same graph, opened.

    Raises OptionError if the bundle has no such graph, ModelError if it differs from those of
    `mrnn-edge export`, or its outputs differ from torch with these weights.
    """
    graph = onnx.load_from_string(bundle.graph(Precision.FLOAT32, GraphRole.STEP)).graph
    constants = {
        entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy())
        for entry in graph.initializer
    }
    weights = {}
    for name, values in constants.items():
        own = name.removeprefix("model.")
        weights[_NAMES.get(own, own)] = values
    # Folded constants have arbitrary names; the graph looks words up in two tables.
    tables = [node.input[0] for node in graph.node if node.op_type in ("Gather", "GatherND")]
    try:
        weights["drive_table"], weights["multimodal_table"] = (constants[name] for name in tables)
        step = FoldedStep(weights).eval()
        largest_difference(step, opened)
    except (KeyError, ValueError, RuntimeError, ModelError) as error:
        raise ModelError(
            f"{bundle.folder}: the step graph is not as `mrnn-edge export` writes it ({error}); "
            "only models of `mrnn-edge export` can be trained on"
        ) from None
    return step


def largest_difference(step: FoldedStep, graph: StepFunction) -> dict[str, float]:
    """By batch, between the weights and the graph. Raises ModelError above verify's limit."""
    random = np.random.default_rng(7)
    found = {}
    for batch in BATCHES:
        images = random.normal(0, 1, (batch, step.multimodal_table.shape[1])).astype(np.float32)
        found[str(batch)] = step_difference(
            graph,
            step_function(step),
            images,
            words=step.vocabulary,
            state=step.recurrent.state_size,
            random=random,
        )
    check_differences(found.values())
    return found


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A bundle after further training."""

    step: FoldedStep
    vocabulary: Vocabulary
    prior: PriorVectors | None
    training: Mapping[str, Any]
    """The training section of config.json and the card."""


def write_grown(base: Bundle, grown: Grown, out: Path, images: Floats) -> BundleConfig:
    """Write a new model folder, whole or not at all; its name becomes the model's.

    Torch and ONNX Runtime caption the image vectors, float32 [N, M]. Raises BundleError if the
    folder exists, ModelError where the two disagree.
    """
    vocab_json = grown.vocabulary.to_json()
    identity = _bundle_id(base, grown.step, vocab_json)
    metadata = metadata_by_role(identity, vocab_json)
    inputs = step_inputs(grown.step.recurrent.state_size, grown.step.multimodal_table.shape[1])
    graphs = {
        GraphRole.ENCODER: _renamed(
            base.graph(Precision.FLOAT32, GraphRole.ENCODER), metadata[GraphRole.ENCODER]
        ),
        GraphRole.STEP: export_step_module(
            _StepModule(grown.step), inputs, metadata[GraphRole.STEP]
        ),
        GraphRole.GRADIENT: export_gradient_module(
            _GradientModule(grown.step), inputs, metadata[GraphRole.GRADIENT]
        ),
    }
    config = dataclasses.replace(_config(base, grown, graphs), name=out.name, id=identity)
    opened = open_graphs(config, read=graphs.__getitem__, metadata=metadata.__getitem__)
    metrics = {"parity": _parity(grown, config, opened, images)}
    write_model(out, config, vocab_json, graphs, grown.prior, metrics)
    return config


def _config(base: Bundle, grown: Grown, graphs: Mapping[GraphRole, bytes]) -> BundleConfig:
    """The base's configuration updated, except for name and id.

    Its confidence was fitted on captions and distances that another prior makes meaningless.
    """
    prior = describe_vectors(grown.prior)
    return dataclasses.replace(
        base.config,
        sizes=dataclasses.replace(base.config.sizes, vocabulary=len(grown.vocabulary)),
        precisions={Precision.FLOAT32: describe_pair(graphs)},
        default_precision=Precision.FLOAT32,
        gradient=describe_graph("gradient.onnx", graphs[GraphRole.GRADIENT]),
        prior=prior,
        confidence=base.config.confidence if prior == base.config.prior else None,
        training=grown.training,
    )


def _parity(grown: Grown, config: BundleConfig, opened: Graphs, images: Floats) -> dict[str, Any]:
    """Torch against the graphs. Raises ModelError where the two disagree."""
    decoding = DecodeOptions(length_penalty=config.decoding.length_penalty)
    pixels = reference_pixels(config.image)
    return {
        "limit": LIMIT,
        "largest_difference": {"step": largest_difference(grown.step, opened.step)},
        "captions": _compare(grown.step, opened.step, grown.vocabulary, images, decoding),
        "reference": reference_of(
            step_function(grown.step),
            opened.encoder(pixels[None]),
            grown.vocabulary,
            decoding,
            state=config.sizes.state,
        ).to_dict(),
    }


def _bundle_id(base: Bundle, step: FoldedStep, vocab_json: bytes) -> str:
    """As `export.bundle_id`, with the base's id in place of the unchanged encoder's weights."""
    weights = {name: value.contiguous() for name, value in step.weights().items()}
    return hashlib.sha256(base.config.id.encode() + save(weights) + vocab_json).hexdigest()[:16]


def _renamed(graph: bytes, metadata: Mapping[str, str]) -> bytes:
    """The same graph with the metadata of another bundle."""
    model = onnx.load_from_string(graph)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _compare(
    step: FoldedStep,
    graph: StepFunction,
    vocabulary: Vocabulary,
    images: Floats,
    decoding: DecodeOptions,
) -> dict[str, int]:
    space = search_space(vocabulary, state=step.recurrent.state_size)
    ours = best_sentences(graph, images, space, decoding)
    theirs = best_sentences(step_function(step), images, space, decoding)
    names = [f"picture {number}" for number in range(1, len(images) + 1)]
    check_sentences(ours, theirs, vocabulary, names=names)
    return {"compared": len(ours), "equal": len(ours)}


class _StepModule(nn.Module):
    def __init__(self, step: FoldedStep) -> None:
        super().__init__()
        self.model = step

    def forward(self, token: Tensor, state: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.step(token, state, image)


class _GradientModule(nn.Module):
    """As gradient.py's, over tables."""

    def __init__(self, step: FoldedStep) -> None:
        super().__init__()
        self.model = step

    def forward(
        self, token: Tensor, state: Tensor, image: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        model = self.model
        next_state = model.recurrent.advance(model.drive_table[token], state)
        hidden = model.multimodal(token, model.recurrent.output(next_state), image)
        words = torch.cat([model.words, model.taught_words])
        back = words[target] - model.shares(model.projected(hidden)) @ words
        if model.projection is not None:
            back = back @ model.projection
        return scaled_tanh_slope(hidden) * back, next_state
