"""A stage of training: a network, its batches, and its dev figures. The loop runs any stage.

`FeatureStage` trains the language model on precomputed CNN vectors; `FinetuneStage`
(finetune.py) trains the CNN with it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic

import torch
from torch import Tensor, nn

from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train import distributed
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.journal import StageName
from mrnn_edge_train.network.averaging import Network
from mrnn_edge_train.network.cost import bits_per_word, squared_norm
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.network.model import MRNN, Dropouts, ModelSizes
from mrnn_edge_train.recipe import Recipe, Schedule, StageSettings
from mrnn_edge_train.stages.batches import Examples
from mrnn_edge_train.stages.features import FeatureTable
from mrnn_edge_train.stages.unpaired import MixtureData
from mrnn_edge_train.stages.validation import DevFigures, dev_figures
from mrnn_edge_train.torch_device import CPU, moved


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Pictures, their CNN vectors, the vocabulary, and the device."""

    train: tuple[CaptionedImage, ...]
    """The readable ones."""
    dev: tuple[CaptionedImage, ...]
    train_table: FeatureTable
    dev_table: FeatureTable
    vocabulary: Vocabulary
    mixture: MixtureData | None = None
    """What several data sets have beside pairs."""
    device: torch.device = CPU
    """Where networks are trained."""


class Stage(ABC, Generic[Network]):
    """A network, `steps` batches an epoch, and their costs. The loop runs any stage."""

    name: StageName

    def __init__(
        self,
        recipe: Recipe,
        settings: StageSettings,
        data: TrainingData,
        network: Network,
        *,
        steps: int,
        seed: int,
    ) -> None:
        self.recipe, self.settings, self.data, self.seed = recipe, settings, data, seed
        self.network = network
        """What is trained, averaged and checkpointed."""
        self.steps = steps

    def groups(self) -> list[dict[str, Any]]:
        """AdamW's parameter groups; `peak` is the highest learning rate. All parameters alike."""
        return [group(self.network, self.settings.learning_rate)]

    def rate(self, done: int) -> float:
        """The learning rate after `done` steps as a share of its peak: warm-up, then schedule."""
        total = self.settings.epochs * self.steps
        rise = max(1, round(self.settings.warmup * total))
        if done < rise:
            return (done + 1) / rise
        if self.recipe.schedule is Schedule.CONSTANT:
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * (done - rise) / max(1, total - rise)))

    @abstractmethod
    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """Cost [] of each batch of an epoch from batch `first` on, with the current weights.

        The batches follow from the seed and the epoch. Each of several processes gives the cost of
        its share, weighted so that their mean is the cost of the whole batch.
        """

    @abstractmethod
    def measure(self, network: Network) -> DevFigures:
        """Dev figures of the network or of its averaged twin, in inference mode."""

    @abstractmethod
    def weights(self, network: Network) -> dict[str, Tensor]:
        """The weights to keep: the language model's by name, the CNN's under `cnn.`."""


def group(part: nn.Module, peak: float, *, weight_decay: float = 0.0) -> dict[str, Any]:
    """A parameter group of AdamW: what is trained of a network, and its highest learning rate."""
    trained = [each for each in part.parameters() if each.requires_grad]
    return {"params": trained, "peak": peak, "weight_decay": weight_decay}


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
        self._examples = Examples(data.train, data.train_table, data.vocabulary, repeats=repeats)
        steps = math.ceil(self._examples.drawn / (recipe.batch * distributed.size()))
        network = build_model(recipe, data)
        super().__init__(recipe, recipe, data, network, steps=steps, seed=seed)
        self._parallel = distributed.parallel(self.network)

    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """Costs [] over sentences of similar length, each with its picture or the mirror image."""
        recipe, model = self.recipe, self.network
        batches = self._examples.epoch(size=recipe.batch, seed=self.seed, epoch=epoch)
        for each in islice(batches, first, None):
            batch = moved(each, self.data.device)
            logits = self._parallel(batch.inputs, batch.features, batch.mask)
            cost = bits_per_word(logits, batch.targets, smoothing=recipe.label_smoothing)
            cost = cost * batch.weight
            if recipe.l2:
                cost = cost + recipe.l2 * squared_norm(model.parameters())
            yield cost

    def measure(self, network: MRNN) -> DevFigures:
        """On the dev pictures' vectors."""
        return measured(network, self.recipe, self.data, self.data.dev_table)

    def weights(self, network: MRNN) -> dict[str, Tensor]:
        """The language model's weights by name."""
        return dict(network.state_dict())


def measured(model: MRNN, recipe: Recipe, data: TrainingData, table: FeatureTable) -> DevFigures:
    """Dev figures from a table of all dev pictures; of several sets each by itself, and the means.

    Each set has its own document frequencies.
    """
    if data.mixture is None:
        return dev_figures(model, data.dev, table, data.vocabulary, recipe.decoding)
    start, found = 0, {}
    for name, count in data.mixture.dev_sets.items():
        images = data.dev[start : start + count]
        start += count
        rows = table.rows(images)
        found[name] = dev_figures(model, images, rows, data.vocabulary, recipe.decoding)
    return DevFigures(
        perplexity=sum(each.perplexity for each in found.values()) / len(found),
        cider=sum(each.cider for each in found.values()) / len(found),
        by_set={name: each.cider for name, each in found.items()},
    )


def build_cnn(recipe: Recipe) -> EfficientNetLite:
    """The recipe's CNN with its ImageNet weights, on the CPU."""
    name = EncoderName(recipe.encoder)
    return EfficientNetLite(name, recipe.image_size, classes=recipe.classes)


def build_model(recipe: Recipe, data: TrainingData) -> MRNN:
    """A new network of the recipe's shape, its image standardised over the training split.

    It is on the device of the data.
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
        # V_I I is zero for any picture and stays so; the bias b_m is learnt.
        with torch.no_grad():
            model.image_to_multimodal.weight.zero_()
        model.image_to_multimodal.weight.requires_grad_(False)
    return model.to(data.device)
