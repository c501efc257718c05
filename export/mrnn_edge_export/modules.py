"""A trained network as two ONNX graphs, with all constants folded exactly.

    encoder   uint8 pixels -> CNN -> V_I I + b_m, the standardisation of I folded into V_I and b_m
    step      two lookup tables by word, the input of the cell and V_w w(t); then the rest

Takes modules, gives bytes. Knows no folder and no vocabulary.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.errors import ModelError
from mrnn_edge_train.network.encoders import CLASSES, EfficientNetLite
from mrnn_edge_train.network.model import MRNN, scaled_tanh

IR = 10
OPSET = 20
"""The default of torch's exporter; ONNX Runtime reads it from 1.17 on."""


class EncoderModule(nn.Module):
    """uint8 [B, H, W, 3] -> float32 [B, M]."""

    def __init__(self, cnn: EfficientNetLite, model: MRNN) -> None:
        super().__init__()
        self.cnn = cnn
        pooled, multimodal = cnn.pooled, model.sizes.multimodal
        self.projection = nn.Linear(pooled, multimodal)
        # Maps and classes apart: as int8 they would share a scale, and a class is at most 1.
        self.of_classes = None if cnn.classifier is None else nn.Linear(CLASSES, multimodal)
        # In double precision: V_I (I - mean) * scale + b = (V_I * scale) I + (b - V_I * scale mean)
        weight = model.image_to_multimodal.weight.double() * model.feature_scale.double()
        bias = model.image_to_multimodal.bias.double() - weight @ model.feature_mean.double()
        with torch.no_grad():
            self.projection.weight.copy_(weight[:, :pooled])
            self.projection.bias.copy_(bias)
            if self.of_classes is not None:
                self.of_classes.weight.copy_(weight[:, pooled:])
                self.of_classes.bias.zero_()

    def forward(self, pixels: Tensor) -> Tensor:
        pooled = self.cnn.pool(pixels)
        image: Tensor = self.projection(pooled)
        if self.of_classes is not None:
            image = image + self.of_classes(self.cnn.classes(pooled))
        return image


class StepModule(nn.Module):
    """token int64 [B], state float32 [B, S], image [B, M] -> log_probs [B, V], next_state."""

    drive_table: Tensor
    multimodal_table: Tensor

    def __init__(self, model: MRNN) -> None:
        super().__init__()
        self.model = model
        with torch.no_grad():
            words = model.word_vector(torch.arange(model.sizes.vocabulary))
            self.register_buffer("drive_table", model.recurrent.drive(words).clone())
            self.register_buffer("multimodal_table", model.word_to_multimodal(words).clone())

    def forward(self, token: Tensor, state: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        model = self.model
        next_state = model.recurrent.advance(self.drive_table[token], state)
        from_state = model.state_to_multimodal(model.recurrent.output(next_state))
        hidden = scaled_tanh(self.multimodal_table[token] + from_state + image)
        return torch.log_softmax(model.logits(hidden), dim=-1), next_state


def step_inputs(state: int, image: int) -> dict[str, Tensor]:
    """Examples of the step's inputs: token int64 [2], state float32 [2, S], image [2, M]."""
    return {
        "token": torch.zeros(2, dtype=torch.int64),
        "state": torch.zeros(2, state),
        "image": torch.zeros(2, image),
    }


def export_encoder(cnn: EfficientNetLite, model: MRNN, metadata: Mapping[str, str]) -> bytes:
    """The bytes of encoder.onnx."""
    pixels = torch.zeros(2, cnn.size, cnn.size, 3, dtype=torch.uint8)
    return export_graph(
        EncoderModule(cnn, model).eval(), {"pixels": pixels}, ["image"], GraphRole.ENCODER, metadata
    )


def export_step(model: MRNN, metadata: Mapping[str, str]) -> bytes:
    """The bytes of step.onnx."""
    return export_step_module(
        StepModule(model),
        step_inputs(model.recurrent.state_size, model.sizes.multimodal),
        metadata,
    )


def export_step_module(
    module: nn.Module, inputs: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> bytes:
    """The bytes of step.onnx of a module with the inputs of `step_inputs`."""
    outputs = ["log_probs", "next_state"]
    return export_graph(module.eval(), inputs, outputs, GraphRole.STEP, metadata)


def export_graph(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: list[str],
    role: GraphRole,
    metadata: Mapping[str, str],
) -> bytes:
    """The bytes of a module's graph: single file, pinned opset and IR, independent of the machine.

    `inputs` are example tensors by name, with a batch of any size as the first dimension.
    """
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{role}.onnx"
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes=tuple({0: "batch"} for _ in inputs),
        )
        graph = onnx.load(path)
    _strip(graph)
    onnx.helper.set_model_props(graph, dict(metadata))
    graph.ir_version = IR
    opsets = {entry.domain: entry.version for entry in graph.opset_import}
    if opsets != {"": OPSET}:
        raise ModelError(
            f"the exporter wrote opsets {opsets}, expected {OPSET}; pin torch's version"
        )
    onnx.checker.check_model(graph, full_check=True)
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def _strip(graph: onnx.ModelProto) -> None:
    """Drop the exporter's notes: they hold paths and make every export different."""
    graph.doc_string = ""
    graph.graph.doc_string = ""
    for holder in (
        graph.graph.node,
        graph.graph.input,
        graph.graph.output,
        graph.graph.value_info,
        graph.graph.initializer,
    ):
        for entry in holder:
            entry.doc_string = ""
            del entry.metadata_props[:]
    del graph.graph.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's progress on standard output and its internal warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
