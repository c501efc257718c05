"""The later stages of a run on several sets: the CNN tuned, then captions rewarded.

The stages of finetune.py and selfcritical.py with what a mixture adds: sets with weights, dev
figures set by set, and while the CNN is tuned named pictures, of which it must give the names and,
as its classifier stays, the classes that it gave before ("learning without forgetting").
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mrnn_edge.progress import Track, untracked
from mrnn_edge.score import BITS_PER_NAT
from mrnn_edge_train.augment import Variation, vary
from mrnn_edge_train.batches import drawn, repeated
from mrnn_edge_train.device import has_bfloat16
from mrnn_edge_train.encoders import CLASSES
from mrnn_edge_train.features import compute_table
from mrnn_edge_train.finetune import FinetuneStage, WholeNetwork, read_all
from mrnn_edge_train.mixed import MixtureData, Names, figures_by_set, names_cost
from mrnn_edge_train.mixed_settings import Mixed
from mrnn_edge_train.model import MRNN
from mrnn_edge_train.recipe import Finetune, Recipe
from mrnn_edge_train.selfcritical import SelfCriticalStage
from mrnn_edge_train.stages import TrainingData
from mrnn_edge_train.tuning import features
from mrnn_edge_train.validation import DevFigures

_LEAST = 1e-8
"""A probability below it counts as so much."""


class MixedFinetuneStage(FinetuneStage):
    """CNN and language model together, on pairs by their weights and on named pictures."""

    def __init__(
        self,
        recipe: Recipe,
        settings: Finetune,
        data: TrainingData,
        mixture: MixtureData,
        network: WholeNetwork,
        *,
        seed: int,
        track: Track = untracked,
    ) -> None:
        super().__init__(recipe, settings, data, network, seed=seed, track=track)
        self._repeats = np.array(mixture.repeats)
        self.steps = math.ceil(drawn(self._repeats) / settings.images)
        self._mixed = recipe.mixed or Mixed()
        self._names = mixture.names if self._mixed.tuned_names else None
        if self._names is not None:
            self._named_pixels = read_all(self._names.paths, recipe.image_size, track)
        self._how = Variation(
            size=settings.crop_size,
            smallest=settings.smallest_crop,
            mirror=recipe.mirror,
            light=0.0,
            saturation=0.0,
        )

    def _order(self, random: np.random.Generator) -> NDArray[np.int64]:
        return repeated(self._repeats, random)

    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """As in the other, and of some named pictures a step."""
        for number, cost in enumerate(super().costs(epoch=epoch, first=first), start=first):
            random = np.random.default_rng((self._seed, epoch, number, 1))
            yield cost if self._names is None else cost + self._of_names(self._names, random)

    def _of_names(self, names: Names, random: np.random.Generator) -> Tensor:
        settings, here = self._mixed, self._data.device
        chosen = random.integers(0, len(names.targets), settings.tuned_names)
        crops = [vary(self._named_pixels[each], self._how, random=random) for each in chosen]
        pixels = torch.from_numpy(np.stack(crops)).to(here)
        half = self._settings.bfloat16 and has_bfloat16(here)
        vectors = features(self.network.cnn, pixels, bfloat16=half)
        cost = settings.names * names_cost(
            self.network.model, vectors, names.targets[chosen].to(here)
        )
        if settings.remembered and self._recipe.classes:
            before = names.logits[chosen].to(here).softmax(dim=-1)
            cost = cost + settings.remembered * forgotten(vectors[:, -CLASSES:], before)
        return cost

    def measure(self, network: WholeNetwork) -> DevFigures:
        """The dev pictures are read by the CNN of the moment, each set measured by itself."""

        def read(pixels: Tensor) -> Tensor:
            return features(network.cnn, pixels, bfloat16=False)

        table = compute_table(read, self._data.dev, size=self._recipe.image_size, mirror=False)
        return figures_by_set(network.model, self._recipe, self._data, table)


def forgotten(now: Tensor, before: Tensor) -> Tensor:
    """Mean bits by which classes [B, 1000] are not what they were; nought where they are."""
    nats = functional.kl_div(now.clamp_min(_LEAST).log(), before, reduction="batchmean")
    return nats * BITS_PER_NAT


class MixedSelfCriticalStage(SelfCriticalStage):
    """Rewarded captions of several sets: references and document frequencies are of all."""

    def measure(self, network: MRNN) -> DevFigures:
        """Each dev set by itself."""
        return figures_by_set(network, self._recipe, self._data, self._dev_table)
