"""A forward pass of the CNN that is cheap to train on a CPU: the function of EfficientNetLite.

On a GPU it computes the same; whether all of this pays there has not been measured.

BatchNorm, in inference mode, is folded into the convolution before it on each pass, so that it
touches the few weights and not the many maps; gradients reach its scale and shift all the same.
The depthwise filters are never trained: oneDNN takes up to 79 times as long for the gradient of a
5 x 5 depthwise filter as for its output (in bfloat16 47 ms for 0.6 ms), and they are 5 % of the
weights. With both, and channels last, a step of Lite2 takes 0.37 of the processor's time. What is
left is bound by memory: padding within the convolution, activations in place and scale and shift in
one go take the step from 0.81 s to 0.63 in bfloat16, from 1.45 to 1.07 in float32, and a reading
from 0.88 to 0.52 (24 pictures of 224 pixels, two cores of an AMD EPYC with
AVX512-BF16; timed by hand, no script was kept).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mrnn_edge_train.network.encoders import PIXEL_MEAN, PIXEL_SCALE, EfficientNetLite


def make_trainable(cnn: EfficientNetLite, *, frozen: float) -> None:
    """Make the CNN trainable except its stem, its first `frozen` blocks and all depthwise filters.

    Changes the CNN and its memory format in place.
    """
    network: Any = cnn.network
    blocks = list(network._blocks)
    still = [network._conv_stem, network._bn0, *blocks[: int(frozen * len(blocks))]]
    still += [block._depthwise_conv for block in blocks]
    cnn.requires_grad_(True)
    for module in still:
        module.requires_grad_(False)
    cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs


def features(cnn: EfficientNetLite, pixels: Tensor, *, bfloat16: bool) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, D], H and W multiples of 32.

    The pixels may be on any device; the vectors are on the CNN's.
    """
    network: Any = cnn.network
    device = network._conv_stem.weight.device
    planes = (pixels.to(device).permute(0, 3, 1, 2).to(torch.float32) - PIXEL_MEAN) * PIXEL_SCALE
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16):
        maps = planes.contiguous(memory_format=torch.channels_last)
        maps = _act(_folded(network._conv_stem, network._bn0, maps))
        for block in network._blocks:
            maps = _block(block, maps)
        maps = _act(_folded(network._conv_head, network._bn1, maps))
    return cnn.described(maps.to(torch.float32).mean(dim=(2, 3)))


def _block(block: Any, maps: Tensor) -> Tensor:
    """An inverted residual block: expand, filter each map, project."""
    inner = maps
    if block._block_args.expand_ratio != 1:
        inner = _act(_folded(block._expand_conv, block._bn0, maps))
    inner = _act(_filtered(block._depthwise_conv, block._bn1, inner))
    inner = _folded(block._project_conv, block._bn2, inner)
    alike = inner.shape == maps.shape and block._block_args.stride == 1 and block.id_skip
    return inner + maps if alike else inner


def _act(maps: Tensor) -> Tensor:
    """ReLU6 in place: no gradient needs what was there."""
    return functional.relu6(maps, inplace=True)


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    scale, shift = _affine(norm)
    weight = conv.weight * scale[:, None, None, None]
    return _convolve(conv, maps, weight, shift)


def _filtered(conv: nn.Conv2d, norm: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    """As `_folded`; the filter takes no gradient, so the trained scale comes after it."""
    if conv.stride[0] > 1:
        # In bfloat16 oneDNN takes 40 times as long for the gradient of a strided 5 x 5.
        with torch.autocast(maps.device.type, enabled=False):
            maps = _convolve(conv, maps.to(torch.float32), conv.weight, None)
    else:
        maps = _convolve(conv, maps, conv.weight, None)
    scale, shift = (each.to(maps.dtype)[:, None, None] for each in _affine(norm))
    return torch.addcmul(shift, maps, scale)


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """BatchNorm in inference mode as y = scale x + shift."""
    if norm.running_mean is None or norm.running_var is None:  # only if it tracks nothing
        raise ValueError("BatchNorm without statistics")
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _convolve(conv: nn.Conv2d, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """With TensorFlow's "same" padding, which `conv` has as a module of its own."""
    # On all sides alike it is the convolution's own business, and no map is copied for it.
    left, right, top, bottom = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
    alike = left == right and top == bottom
    padded: Tensor = maps if alike else conv.static_padding(maps)  # type: ignore[operator]
    padding = (top, left) if alike else (0, 0)
    return functional.conv2d(padded, weight, bias, conv.stride, padding, conv.dilation, conv.groups)
