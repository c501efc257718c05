"""Networks of a few thousand weights are faster on one thread, and much so on a busy machine."""

import dataclasses

import pytest
import torch

from mrnn_edge_train.network.cells import Cell
from mrnn_edge_train.recipe import Finetune, Recipe, SelfCritical, read_recipe


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def two_stages() -> Recipe:
    """Two epochs over the vectors of the smallest CNN at 32 pixels, two with the CNN itself."""
    return dataclasses.replace(
        read_recipe("flickr8k-lite2"),
        encoder="efficientnet-lite0",
        image_size=32,
        minimum_count=1,
        embedding=8,
        state=16,
        multimodal=24,
        cell=Cell.GRU,
        tied=True,
        learning_rate=1e-2,
        batch=10,
        epochs=2,
        average=0.5,
        finetune=Finetune(
            epochs=2,
            images=6,
            crop_size=32,
            smallest_crop=0.75,
            frozen=0.25,
            cnn_rate=1e-4,
            learning_rate=1e-2,
            weight_decay=0.01,
            warmup=0.1,
            label_smoothing=0.0,
            clip=5.0,
            average=0.5,
            bfloat16=False,
        ),
    )


@pytest.fixture(scope="session")
def three_stages(two_stages: Recipe) -> Recipe:
    """The same, and an epoch of reward."""
    reward = SelfCritical(
        epochs=1,
        images=5,
        samples=3,
        cost_weight=0.2,
        learning_rate=1e-3,
        warmup=0.1,
        label_smoothing=0.0,
        clip=5.0,
        average=0.5,
    )
    return dataclasses.replace(two_stages, self_critical=reward)
