"""A model of a few kB, generated: twelve words, a picture of 16 x 16, a state of 4.

Its encoder is the mean colour times a matrix, its step an m-RNN step. `TinyNetwork` computes the
same in plain numpy, independently of any graph.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import (
    BundleConfig,
    ConfidenceWeights,
    DecodeDefaults,
    GraphPair,
    GraphRole,
    ImageSpec,
    Precision,
    Sizes,
)
from mrnn_edge.bundle.folder import graph_metadata
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.bundle.write import describe_graph, describe_prior, to_json
from mrnn_edge.language.confidence import FEATURES
from mrnn_edge.verify import reference_pixels, run_steps
from mrnn_edge.vocab import SpecialTokens, Vocabulary, vocabulary_digest

WORDS = ("a", "red", "green", "blue", "dark", "bright", "dog", "sky", "wall")
SIDE, IMAGE, STATE = 16, 6, 4
ID = "0123456789abcdef"


def vocabulary() -> Vocabulary:
    return Vocabulary(("<start>", "<end>", "<unk>", *WORDS))


@dataclass
class TinyNetwork:
    """The weights, and the forward pass in numpy."""

    seed: int = 3
    weights: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        words = len(vocabulary())
        shapes = {
            "projection": (3, IMAGE),
            "projection_bias": (IMAGE,),
            "word_table": (words, STATE),
            "multimodal_table": (words, IMAGE),
            "recurrent": (STATE, STATE),
            "state_to_multimodal": (STATE, IMAGE),
            "softmax": (IMAGE, words),
            "softmax_bias": (words,),
        }
        self.weights = {
            name: random.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()
        }
        self.weights["projection"] /= 64.0

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        w = self.weights
        colour = pixels.astype(np.float64).mean(axis=(1, 2)) - 127.0
        return colour @ w["projection"] + w["projection_bias"]

    def step(self, token, state, image):
        w = self.weights
        state = np.maximum(state @ w["recurrent"] + w["word_table"][token], 0.0)
        summed = w["multimodal_table"][token] + state @ w["state_to_multimodal"] + image
        hidden = 1.7159 * np.tanh(summed * 2.0 / 3.0)
        logits = hidden @ w["softmax"] + w["softmax_bias"]
        logits = logits - logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), state

    def constants(self, *names: str) -> list[onnx.TensorProto]:
        return [numpy_helper.from_array(self.weights[name], name) for name in names]


def encoder_graph(network: TinyNetwork, metadata: dict[str, str], *, side: int = SIDE) -> bytes:
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "middle"], ["colour"]),
        helper.make_node("Gemm", ["colour", "projection", "projection_bias"], ["image"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        numpy_helper.from_array(np.array(127.0, np.float32), "middle"),
        *network.constants("projection", "projection_bias"),
    ]
    inputs = [_value("pixels", TensorProto.UINT8, side, side, 3)]
    outputs = [_value("image", TensorProto.FLOAT, IMAGE)]
    return _model(nodes, inputs, outputs, constants, metadata)


def step_graph(network: TinyNetwork, metadata: dict[str, str], *, state_name="state") -> bytes:
    nodes = [
        helper.make_node("Gather", ["word_table", "token"], ["word"]),
        helper.make_node("MatMul", [state_name, "recurrent"], ["memory"]),
        helper.make_node("Add", ["memory", "word"], ["summed"]),
        helper.make_node("Relu", ["summed"], ["next_state"]),
        helper.make_node("Gather", ["multimodal_table", "token"], ["from_word"]),
        helper.make_node("MatMul", ["next_state", "state_to_multimodal"], ["from_state"]),
        helper.make_node("Sum", ["from_word", "from_state", "image"], ["joined"]),
        helper.make_node("Mul", ["joined", "two_thirds"], ["inner"]),
        helper.make_node("Tanh", ["inner"], ["squashed"]),
        helper.make_node("Mul", ["squashed", "gain"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "softmax", "softmax_bias"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], axis=-1),
    ]
    constants = [
        numpy_helper.from_array(np.array(2.0 / 3.0, np.float32), "two_thirds"),
        numpy_helper.from_array(np.array(1.7159, np.float32), "gain"),
        *network.constants(
            "word_table",
            "recurrent",
            "multimodal_table",
            "state_to_multimodal",
            "softmax",
            "softmax_bias",
        ),
    ]
    inputs = [
        _value("token", TensorProto.INT64),
        _value(state_name, TensorProto.FLOAT, STATE),
        _value("image", TensorProto.FLOAT, IMAGE),
    ]
    outputs = [
        _value("log_probs", TensorProto.FLOAT, len(vocabulary())),
        _value("next_state", TensorProto.FLOAT, STATE),
    ]
    return _model(nodes, inputs, outputs, constants, metadata)


def weights() -> ConfidenceWeights:
    """Confidence by evidence a word and by distance, which no picture takes to 0 or 1."""
    chosen = {"word_evidence": 0.5, "content_bits": 0.25, "words": -0.1, "distance": -0.05}
    return ConfidenceWeights(bias=0.5, weights={name: chosen.get(name, 0.0) for name in FEATURES})


def prior() -> PriorVectors:
    """Five groups of training pictures that were never there, and a mean that was not either."""
    rows = np.random.default_rng(11).normal(0, 1, (6, IMAGE)).astype(np.float32)
    weights = np.array([0.1, 0.3, 0.2, 0.15, 0.25], np.float32)
    return PriorVectors(mean=rows[0], centres=rows[1:], weights=weights)


def gradient_graph(network: TinyNetwork, metadata: dict[str, str]) -> bytes:
    nodes = [
        helper.make_node("Gather", ["word_table", "token"], ["word"]),
        helper.make_node("MatMul", ["state", "recurrent"], ["memory"]),
        helper.make_node("Add", ["memory", "word"], ["summed"]),
        helper.make_node("Relu", ["summed"], ["next_state"]),
        helper.make_node("Gather", ["multimodal_table", "token"], ["from_word"]),
        helper.make_node("MatMul", ["next_state", "state_to_multimodal"], ["from_state"]),
        helper.make_node("Sum", ["from_word", "from_state", "image"], ["joined"]),
        helper.make_node("Mul", ["joined", "two_thirds"], ["inner"]),
        helper.make_node("Tanh", ["inner"], ["squashed"]),
        helper.make_node("Mul", ["squashed", "gain"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "softmax", "softmax_bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        helper.make_node("Transpose", ["softmax"], ["words"]),
        helper.make_node("Gather", ["words", "target"], ["wanted"]),
        helper.make_node("MatMul", ["probabilities", "words"], ["expected"]),
        helper.make_node("Sub", ["wanted", "expected"], ["difference"]),
        helper.make_node("Mul", ["squashed", "squashed"], ["square"]),
        helper.make_node("Sub", ["one", "square"], ["bend"]),
        helper.make_node("Mul", ["bend", "steepest"], ["slope"]),
        helper.make_node("Mul", ["slope", "difference"], ["gradient"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(2.0 / 3.0, np.float32), "two_thirds"),
        numpy_helper.from_array(np.array(1.7159, np.float32), "gain"),
        numpy_helper.from_array(np.array(1.7159 * 2.0 / 3.0, np.float32), "steepest"),
        numpy_helper.from_array(np.array(1.0, np.float32), "one"),
        *network.constants(
            "word_table",
            "recurrent",
            "multimodal_table",
            "state_to_multimodal",
            "softmax",
            "softmax_bias",
        ),
    ]
    inputs = [
        _value("token", TensorProto.INT64),
        _value("state", TensorProto.FLOAT, STATE),
        _value("image", TensorProto.FLOAT, IMAGE),
        _value("target", TensorProto.INT64),
    ]
    outputs = [
        _value("gradient", TensorProto.FLOAT, IMAGE),
        _value("next_state", TensorProto.FLOAT, STATE),
    ]
    return _model(nodes, inputs, outputs, constants, metadata)


def metadata(role: GraphRole, *, bundle_id: str = ID) -> dict[str, str]:
    digest = vocabulary_digest(vocabulary().to_json())
    return graph_metadata(bundle_id=bundle_id, vocabulary_sha256=digest, role=role)


def files(
    network: TinyNetwork | None = None,
    *,
    encoder: bytes | None = None,
    step: bytes | None = None,
    gradient: bytes | None = None,
    bundle_id: str = ID,
    metrics: dict | None = None,
    prior: PriorVectors | None = prior(),  # noqa: B008  # frozen
) -> dict[str, bytes]:
    """The files of a whole bundle, any part of it replaced, the hashes right."""
    network = network or TinyNetwork()
    properties = {role: metadata(role, bundle_id=bundle_id) for role in GraphRole}
    encoder = encoder or encoder_graph(network, properties[GraphRole.ENCODER])
    step = step or step_graph(network, properties[GraphRole.STEP])
    gradient = gradient or gradient_graph(network, properties[GraphRole.GRADIENT])
    vectors = {} if prior is None else {"prior.npy": prior.to_npy()}
    config = BundleConfig(
        name="tiny-test",
        id=bundle_id,
        image=ImageSpec(height=SIDE, width=SIDE),
        sizes=Sizes(vocabulary=len(vocabulary()), image=IMAGE, state=STATE),
        tokens=SpecialTokens(),
        precisions={
            Precision.FLOAT32: GraphPair(
                encoder=describe_graph("encoder.onnx", encoder),
                step=describe_graph("step.onnx", step),
            )
        },
        default_precision=Precision.FLOAT32,
        opset=20,
        decoding=DecodeDefaults(length_penalty=0.5),
        confidence=None if prior is None else weights(),
        gradient=describe_graph("gradient.onnx", gradient),
        prior=None
        if prior is None
        else describe_prior("prior.npy", vectors["prior.npy"], groups=len(prior.centres)),
        training={"data": "none, random weights"},
        licence={"code": "Apache-2.0", "weights": "Apache-2.0, random numbers"},
    )
    return {
        "config.json": to_json(config.to_dict()),
        "vocab.json": vocabulary().to_json(),
        "encoder.onnx": encoder,
        "step.onnx": step,
        "gradient.onnx": gradient,
        **vectors,
        "metrics.json": to_json(metrics or {}),
        "README.md": b"# tiny-test\n",
    }


def write(folder: Path, contents: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (contents or files()).items():
        (folder / name).write_bytes(data)
    return folder


def reference(captioner: Captioner) -> dict:
    """What export enters in metrics.json for `verify`, computed by numpy in place of torch."""
    network = TinyNetwork()
    pixels = reference_pixels(captioner.config.image)
    image = network.encode(pixels[None])[0]
    rows = run_steps(network.step, image, start=vocabulary().start, state=STATE)
    ids = list(range(len(vocabulary())))
    return {
        "image": image.tolist(),
        "top": [[ids, row.tolist()] for row in rows],
        "caption": captioner.caption(pixels, beam=2, max_words=4, length_penalty=0.0).text,
        "decoding": {"beam": 2, "nbest": 1, "max_words": 4, "length_penalty": 0.0},
    }


def edit_config(folder: Path, change) -> None:
    """Change config.json in place; `change` gets the parsed object."""
    path = folder / "config.json"
    config = json.loads(path.read_bytes())
    change(config)
    path.write_bytes(to_json(config))


def _value(name: str, kind: int, *sizes: int):
    return helper.make_tensor_value_info(name, kind, ["batch", *sizes])


def _model(nodes, inputs, outputs, constants, properties: dict[str, str]) -> bytes:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
