"""A frozen CNN for training, run by ONNX Runtime: PyTorch's vectors in half the time.

Takes the name of a CNN with ImageNet's weights, gives a function from pixels to pooled maps and to
the logits of its own classifier. Knows no language model.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.engine.runtime import open_plain
from mrnn_edge_export.modules import export_graph
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.stages.features import Vectors
from mrnn_edge_train.stages.vectors import Reader


class ClassifierGraph(nn.Module):
    """uint8 [B, H, W, 3] -> pooled maps float32 [B, D] and logits float32 [B, 1000]."""

    def __init__(self, cnn: EfficientNetLite) -> None:
        super().__init__()
        if cnn.classifier is None:
            raise ValueError("this CNN was made without its classifier")
        self.cnn = cnn
        self.classifier = cnn.classifier
        # Its vector is then the maps alone.
        self.cnn.classifier = None

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.cnn(pixels)
        return pooled, self.classifier(pooled)


def frozen_reader(name: EncoderName, size: int, *, threads: int | None = None) -> Reader:
    """The CNN as a function of pixels."""
    module = ClassifierGraph(EfficientNetLite(name, size, classes=True)).eval()
    pixels = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    graph = export_graph(module, {"pixels": pixels}, ["pooled", "logits"], GraphRole.ENCODER, {})
    session = open_plain(graph, threads=threads)

    def read(pictures: NDArray[np.uint8]) -> tuple[Vectors, Vectors]:
        pooled, logits = session.run(["pooled", "logits"], {"pixels": pictures})
        return pooled, logits

    return read
