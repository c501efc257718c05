import numpy as np
import torch

from mrnn_edge_export.frozen import frozen_reader
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.stages.vectors import softmax


def test_onnx_runtime_reads_pictures_as_pytorch_does_and_says_their_classes():
    pixels = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)
    pooled, logits = frozen_reader(EncoderName.LITE0, 64, threads=1)(pixels)
    with torch.inference_mode():
        expected = EfficientNetLite(EncoderName.LITE0, 64, classes=True)(torch.from_numpy(pixels))
    found = np.concatenate([pooled, softmax(logits)], axis=1)
    assert found.shape == (3, 2280)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
