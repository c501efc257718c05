"""A stage of training: a network, its batches, and what it is worth. The loop runs any of them.

`FeatureStage` trains the language model on CNN vectors that were computed once; `FinetuneStage`
(finetune.py) trains the CNN with it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic

import torch
from torch import Tensor

from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train import distributed
from mrnn_edge_train.averaging import Network
from mrnn_edge_train.batches import Examples, Sentences
from mrnn_edge_train.cost import bits_per_word, squared_norm
from mrnn_edge_train.device import CPU, moved
from mrnn_edge_train.features import FeatureTable
from mrnn_edge_train.flickr8k import CaptionedImage
from mrnn_edge_train.journal import StageName
from mrnn_edge_train.model import MRNN, Dropouts, ModelSizes
from mrnn_edge_train.recipe import Recipe, Schedule
from mrnn_edge_train.validation import DevFigures, dev_figures

if TYPE_CHECKING:
    from mrnn_edge_train.mixed import MixtureData

SoftTargets = Callable[[Tensor, Tensor, Sentences], Tensor]
"""Pictures uint8 [N, S, S, 3], the picture of each sentence [B], the sentences -> probabilities
[P, V] at the temperature of the recipe (teachers.py)."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Pictures, their CNN vectors and the vocabulary, those that teach, and where."""

    train: tuple[CaptionedImage, ...]
    """Those that can be read."""
    dev: tuple[CaptionedImage, ...]
    train_table: FeatureTable
    dev_table: FeatureTable
    vocabulary: Vocabulary
    teachers: SoftTargets | None = None
    """There with a recipe's `[distill]`."""
    mixture: "MixtureData | None" = None
    """What several data sets have beside pairs (mixed.py)."""
    device: torch.device = CPU
    """Where networks are trained on it."""


class Stage(ABC, Generic[Network]):
    """What the loop needs of a stage."""

    name: StageName
    network: Network
    """What is trained, averaged and checkpointed."""
    steps: int
    """Steps an epoch."""
    epochs: int
    warmup: float
    schedule: Schedule
    clip: float
    average: float
    """As in the recipe."""

    @abstractmethod
    def groups(self) -> list[dict[str, Any]]:
        """AdamW's parameter groups; `peak` is the learning rate at the schedule's top."""

    def rate(self, done: int) -> float:
        """The learning rate after so many steps, of its peak: linear warm-up, then the schedule."""
        total = self.epochs * self.steps
        rise = max(1, round(self.warmup * total))
        if done < rise:
            return (done + 1) / rise
        if self.schedule is Schedule.CONSTANT:
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * (done - rise) / max(1, total - rise)))

    @abstractmethod
    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """The cost of each batch of an epoch from batch `first` on, on the weights of the moment.

        The batches follow from the seed and the epoch. Of several processes each gives the cost of
        its share, weighed so that their mean is the cost of the whole batch.
        """

    @abstractmethod
    def measure(self, network: Network) -> DevFigures:
        """Dev figures of the network or of its averaged twin, in inference mode."""

    @abstractmethod
    def weights(self, network: Network) -> dict[str, Tensor]:
        """What is kept of it: the language model's by their names, the CNN's under `cnn.`."""


class FeatureStage(Stage[MRNN]):
    """The language model on the vectors of a frozen CNN."""

    name = StageName.FEATURES

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        *,
        seed: int,
        repeats: Sequence[float] | None = None,
    ) -> None:
        self.network = build_model(recipe, data)
        self.epochs, self.warmup = recipe.epochs, recipe.warmup
        self.schedule = recipe.schedule
        self.clip, self.average = recipe.clip, recipe.average
        self._recipe, self._data, self._seed = recipe, data, seed
        self._examples = Examples(data.train, data.train_table, data.vocabulary, repeats=repeats)
        self.steps = math.ceil(self._examples.drawn / (recipe.batch * distributed.size()))
        self._parallel = distributed.parallel(self.network)

    def groups(self) -> list[dict[str, Any]]:
        """All parameters alike; the L2 term of the cost is the only decay."""
        parameters = [each for each in self.network.parameters() if each.requires_grad]
        return [{"params": parameters, "peak": self._recipe.learning_rate, "weight_decay": 0.0}]

    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """Over sentences of like length, each with its picture or the mirror image."""
        recipe, model = self._recipe, self.network
        batches = self._examples.epoch(size=recipe.batch, seed=self._seed, epoch=epoch)
        for each in islice(batches, first, None):
            batch = moved(each, self._data.device)
            logits = self._parallel(batch.inputs, batch.features, batch.mask)
            cost = bits_per_word(logits, batch.targets, smoothing=recipe.label_smoothing)
            cost = cost * batch.weight
            if recipe.l2:
                cost = cost + recipe.l2 * squared_norm(model.parameters())
            yield cost

    def measure(self, network: MRNN) -> DevFigures:
        """On the dev pictures' vectors."""
        data = self._data
        return dev_figures(
            network, data.dev, data.dev_table, data.vocabulary, self._recipe.decoding
        )

    def weights(self, network: MRNN) -> dict[str, Tensor]:
        """The language model's."""
        return dict(network.state_dict())


def build_model(recipe: Recipe, data: TrainingData) -> MRNN:
    """A fresh network of the recipe's shape, its image standardised over the training split.

    It is where the data says.
    """
    features = torch.from_numpy(data.train_table.features)
    model = MRNN(
        ModelSizes(
            vocabulary=len(data.vocabulary),
            feature=features.shape[1],
            embedding=recipe.embedding,
            state=recipe.state,
            multimodal=recipe.multimodal,
            cell=recipe.cell,
            tied=recipe.tied,
        ),
        Dropouts(image=recipe.drop_image, word=recipe.drop_word, multimodal=recipe.drop_multimodal),
    )
    model.standardise_on(features)
    if not recipe.image:
        # V_I I is nought for any picture and stays so; b_m, which is no picture's, is learnt.
        with torch.no_grad():
            model.image_to_multimodal.weight.zero_()
        model.image_to_multimodal.weight.requires_grad_(False)
    return model.to(data.device)
