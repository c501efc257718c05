"""The CNN's pass for training: the same function, and gradients where they are wanted."""

import pytest
import torch

from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.network.tuning import features, make_trainable


@pytest.fixture
def cnn():
    return EfficientNetLite(EncoderName.LITE0, 64)


@pytest.fixture
def pixels():
    random = torch.Generator().manual_seed(4)
    return torch.randint(0, 256, (2, 64, 64, 3), generator=random, dtype=torch.uint8)


def test_it_is_the_function_of_the_network_before_and_after_training(cnn, pixels):
    before = cnn(pixels)
    make_trainable(cnn, frozen=0.25)
    torch.testing.assert_close(features(cnn, pixels, bfloat16=False), before, atol=1e-4, rtol=0)
    optimiser = torch.optim.SGD([p for p in cnn.parameters() if p.requires_grad], lr=1e-3)
    features(cnn, pixels, bfloat16=False).square().mean().backward()
    optimiser.step()
    after = cnn(pixels)
    assert not torch.allclose(after, before, atol=1e-3)
    torch.testing.assert_close(features(cnn, pixels, bfloat16=False), after, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [32, 96])
def test_pictures_of_another_size_are_padded_as_a_network_of_that_size_would(cnn, size):
    pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    expected = EfficientNetLite(EncoderName.LITE0, size)(pixels)
    torch.testing.assert_close(features(cnn, pixels, bfloat16=False), expected, atol=1e-4, rtol=0)


def test_bfloat16_gives_float32_vectors_that_are_near(cnn, pixels):
    exact, rounded = (features(cnn, pixels, bfloat16=b).detach() for b in (False, True))
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert torch.nn.functional.cosine_similarity(rounded, exact).min() > 0.99


@pytest.mark.parametrize(("frozen", "first"), [(0.25, 4), (0.0, 0), (1.0, 16)])
def test_gradients_reach_the_blocks_that_are_not_frozen_and_no_others(cnn, pixels, frozen, first):
    make_trainable(cnn, frozen=frozen)
    features(cnn, pixels, bfloat16=False).square().sum().backward()
    blocks = len(cnn.network._blocks)
    assert blocks == 16
    for name, parameter in cnn.named_parameters():
        part = name.split(".")
        block = int(part[2]) if part[1] == "_blocks" else None
        stem = part[1] in ("_conv_stem", "_bn0")
        learns = not stem and "_depthwise_conv" not in name and (block is None or block >= first)
        assert (parameter.grad is not None) == learns, name
        if parameter.grad is not None:
            assert parameter.grad.abs().sum() > 0, name


def test_gradients_are_those_of_the_network_as_it_was_written(cnn, pixels):
    make_trainable(cnn, frozen=0.25)
    learning = {name: each for name, each in cnn.named_parameters() if each.requires_grad}
    expected = torch.autograd.grad(cnn(pixels).square().mean(), list(learning.values()))
    found = torch.autograd.grad(
        features(cnn, pixels, bfloat16=False).square().mean(), list(learning.values())
    )
    for name, one, other in zip(learning, found, expected, strict=True):
        assert torch.dist(one, other) < 1e-3 * other.norm(), name


def test_batchnorm_keeps_its_statistics_whatever_mode_is_asked_for(cnn, pixels):
    before = {key: value.clone() for key, value in cnn.state_dict().items()}
    cnn.train()
    assert not any(module.training for module in cnn.modules())
    cnn(pixels)
    assert all(torch.equal(value, before[key]) for key, value in cnn.state_dict().items())
