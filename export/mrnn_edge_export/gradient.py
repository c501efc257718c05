"""gradient.onnx: the gradient of a word's log-probability in the image vector, in closed form.

    d log P(t | words, v) / dv = g'(pre) * W^T (onehot(t) - p),  pre = V_w w + V_r r + v

With g(x) = 1.7159 tanh(2x/3) the slope g' is a polynomial of m = g(pre) itself:
g'(pre) = 2/3 (1.7159 - m^2 / 1.7159). The graph only makes the short lists of
searches, so its weights are stored as float16; opening the graph casts them to float32.
"""

from collections.abc import Mapping

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from mrnn_edge.bundle.config import GraphRole
from mrnn_edge_export.modules import export_graph, step_inputs
from mrnn_edge_train.network.model import MRNN, TiedSoftmax, scaled_tanh_slope

_SMALL = 1024
"""Smaller constants stay float32: they are not worth a node."""


class GradientModule(nn.Module):
    """token, target int64 [B], state float32 [B, S], image [B, M] -> gradient, next_state."""

    def __init__(self, model: MRNN) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, token: Tensor, state: Tensor, image: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        word = self.model.word_vector(token)
        recurrent = self.model.recurrent
        next_state = recurrent.advance(recurrent.drive(word), state)
        hidden = self.model.multimodal(word, recurrent.output(next_state), image)
        probabilities = torch.softmax(self.model.logits(hidden), dim=-1)
        return scaled_tanh_slope(hidden) * self._back(probabilities, target), next_state

    def _back(self, probabilities: Tensor, target: Tensor) -> Tensor:
        """W^T (onehot(target) - p), [B, V] and ids [B] -> [B, M]; W is E_1 P where it is tied."""
        softmax = self.model.softmax
        if isinstance(softmax, TiedSoftmax):
            words = self.model.embedding_1.weight
            return (words[target] - probabilities @ words) @ softmax.projection.weight
        return softmax.weight[target] - probabilities @ softmax.weight


def export_gradient(model: MRNN, metadata: Mapping[str, str]) -> bytes:
    """The bytes of gradient.onnx."""
    inputs = step_inputs(model.recurrent.state_size, model.sizes.multimodal)
    return export_gradient_module(GradientModule(model), inputs, metadata)


def export_gradient_module(
    module: nn.Module, inputs: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> bytes:
    """The bytes of gradient.onnx of a module that takes `step_inputs` and a target int64 [B].

    Its large constants are stored as float16.
    """
    inputs = {**inputs, "target": torch.zeros(2, dtype=torch.int64)}
    outputs = ["gradient", "next_state"]
    graph = onnx.load_from_string(
        export_graph(module.eval(), inputs, outputs, GraphRole.GRADIENT, metadata)
    )
    _store_as_float16(graph.graph)
    onnx.checker.check_model(graph, full_check=True)
    stored: bytes = graph.SerializeToString(deterministic=True)
    return stored


def _store_as_float16(graph: onnx.GraphProto) -> None:
    """Every large float32 constant as float16 and a cast, which the runtime folds when it opens."""
    casts = []
    for constant in graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype != np.float32 or values.size < _SMALL:
            continue
        name, half = constant.name, f"{constant.name}.half"
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
