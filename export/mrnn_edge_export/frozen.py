"""A CNN with ImageNet's weights, read by ONNX Runtime: the numbers of PyTorch in half the time.

Takes the name of a CNN, gives a function from pixels to pooled maps and to the logits of its own
classifier. What training on a frozen CNN needs; knows no language model.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mrnn_edge.config import GraphRole
from mrnn_edge.runtime import open_plain
from mrnn_edge_export.graphs import export_graph
from mrnn_edge_train.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.features import Vectors
from mrnn_edge_train.vectors import Reader


class ClassifierGraph(nn.Module):
    """uint8 [B, H, W, 3] -> pooled maps float32 [B, D] and logits float32 [B, 1000]."""

    def __init__(self, cnn: EfficientNetLite) -> None:
        super().__init__()
        if cnn.classifier is None:
            raise ValueError("a CNN without its classifier")
        self.cnn = cnn
        self.classifier = cnn.classifier
        # The vector is to be the maps alone.
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
