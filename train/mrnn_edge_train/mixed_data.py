"""A mixture made ready for training: its vocabulary, its vectors, its targets.

Takes a recipe, data sets and the vectors of a frozen CNN; gives what the loop trains on.
"""

from collections.abc import Callable, Sequence
from itertools import chain

import torch

from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.device import CPU
from mrnn_edge_train.features import FeatureTable
from mrnn_edge_train.flickr8k import CaptionedImage
from mrnn_edge_train.kinds import image_classes, words_for
from mrnn_edge_train.mixed import MixtureData, Names, SentenceBank, word_shares
from mrnn_edge_train.mixed_settings import Mixed
from mrnn_edge_train.mixture import Mixture, mixture_vocabulary
from mrnn_edge_train.recipe import Recipe
from mrnn_edge_train.stages import TrainingData
from mrnn_edge_train.vectors import VectorStore
from mrnn_edge_train.weak import weak_pairs


def unheard(_text: str) -> None:
    """For `say`: nobody listens."""


def prepare_mixture(
    recipe: Recipe,
    mixture: Mixture,
    store: VectorStore,
    *,
    seed: int,
    say: Callable[[str], None] = unheard,
) -> TrainingData:
    """What the recipe uses of a mixture, on the CPU. Raises DatasetError for lacking vectors."""
    settings = recipe.mixed or Mixed()
    vocabulary = mixture_vocabulary(mixture, minimum_count=recipe.minimum_count)
    train, repeats = mixture.train, mixture.weights
    if settings.weak:
        said = [words for image in train for words in image.sentences]
        said += mixture.sentences
        lent = weak_pairs(mixture.named, said, count=settings.weak, seed=seed)
        train, repeats = (*train, *lent), (*repeats, *[settings.weak_weight] * len(lent))
        say(f"{len(lent):,} named pictures are lent sentences")
    dev = tuple(chain.from_iterable(mixture.dev.values()))
    say(f"{len(train):,} pictures, {len(vocabulary):,} words")
    if settings.sentences:
        say(f"{len(mixture.sentences):,} sentences alone")
    return TrainingData(
        train=train,
        dev=dev,
        train_table=_table(store, recipe, train, mirror=recipe.mirror),
        dev_table=_table(store, recipe, dev, mirror=False),
        vocabulary=vocabulary,
        mixture=MixtureData(
            repeats=repeats,
            dev_sets={name: len(images) for name, images in mixture.dev.items()},
            sentences=SentenceBank(mixture.sentences, vocabulary) if settings.sentences else None,
            names=_names(store, recipe, mixture, vocabulary) if settings.names else None,
        ),
        device=CPU,
    )


def _table(
    store: VectorStore, recipe: Recipe, images: Sequence[CaptionedImage], *, mirror: bool
) -> FeatureTable:
    names = [image.name for image in images]
    return store.table(names, mirror=mirror, classes=recipe.classes)


def _names(
    store: VectorStore, recipe: Recipe, mixture: Mixture, vocabulary: Vocabulary
) -> Names | None:
    """Pictures of whose names one word at least is known."""
    targets = word_shares([words_for(image) for image in mixture.named], vocabulary)
    known = targets.sum(dim=1) > 0
    images = [image for image, fine in zip(mixture.named, known.tolist(), strict=True) if fine]
    if not images:
        return None
    names = [image.name for image in images]
    return Names(
        paths=tuple(image.path for image in images),
        table=store.table(names, mirror=recipe.mirror, classes=recipe.classes),
        logits=torch.from_numpy(store.logits(names)),
        targets=targets[known],
        classes=word_shares([each.words for each in image_classes()], vocabulary),
    )
