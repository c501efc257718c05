"""What a run trains on: its data sets read, the vectors of all pictures computed or cached.

One set is read as it is, and its CNN computes in PyTorch on the run's device. Several sets, with
weights, or with sentences and names alone, are a mixture; their frozen CNN is passed as a function
(ONNX Runtime's, twice as fast as PyTorch), and its vectors stay on disk. Knows no stage.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import torch

from mrnn_edge.errors import OptionError
from mrnn_edge.image.read import Pixels
from mrnn_edge.timing import Track, untracked
from mrnn_edge.vocab import Vocabulary, build_vocabulary
from mrnn_edge_train import distributed
from mrnn_edge_train.data.common import CaptionedImage, Split, complain, left_out, spare
from mrnn_edge_train.data.datasets import inspect, read_split
from mrnn_edge_train.data.kinds import image_classes, words_for
from mrnn_edge_train.data.mixture import Mixture, Source, mixture_vocabulary, read_mixture
from mrnn_edge_train.data.weak import weak_pairs
from mrnn_edge_train.network.encoders import EncoderName
from mrnn_edge_train.network.tuning import features
from mrnn_edge_train.recipe import Mixed, Recipe
from mrnn_edge_train.stages.features import (
    FeatureTable,
    Vectors,
    compute_table,
    read_table,
    table_key,
    write_table,
)
from mrnn_edge_train.stages.stages import TrainingData, build_cnn
from mrnn_edge_train.stages.unpaired import MixtureData, Names, SentenceBank, word_shares
from mrnn_edge_train.stages.vectors import Reader, VectorStore, compute, open_store
from mrnn_edge_train.torch_device import CPU, device_failures, has_bfloat16

OpenReader = Callable[[EncoderName, int], Reader]
"""Name of a CNN and the side of its pictures -> the frozen CNN as a function."""


def ignore(_text: str) -> None:
    """For `say`: discard the message."""


def is_mixture(sources: Sequence[Source], recipe: Recipe) -> bool:
    """Whether a run has several sets, or one that is not taken as it is."""
    return len(sources) > 1 or sources[0].weight != 1.0 or recipe.mixed is not None


def prepare(
    recipe: Recipe,
    data: Path,
    *,
    cache: Path,
    device: torch.device = CPU,
    track: Track = untracked,
    say: Callable[[str], None] = ignore,
) -> TrainingData:
    """Check and read the data set; read its CNN vectors from the cache, or compute and cache them.

    The run then trains on the device that computes them. `say` receives one-line messages: what
    the data set holds, and which pictures cannot be read.

    Training pictures that cannot be read are left out and named, up to one in a hundred. Raises
    DatasetError for more of them and for any dev picture, as `datasets.inspect` does before
    anything is computed, and DeviceError if the device fails.
    """
    _check(recipe)
    for line in inspect(data).lines():
        say(line)
    train, dev = read_split(data, Split.TRAIN), read_split(data, Split.DEV)
    sentences = (words for image in train for words in image.sentences)
    vocabulary = build_vocabulary(sentences, minimum_count=recipe.minimum_count)
    say(f"{len(vocabulary):,} words")
    if recipe.finetune and recipe.finetune.bfloat16 and not has_bfloat16(device):
        say("no bfloat16 here: the CNN computes in float32")
    compute = partial(_table, recipe, cache=cache, device=device, track=track)
    with device_failures(device):
        table = compute(train, mirror=recipe.mirror, spared=spare(len(train)))
        dev_table = compute(dev, mirror=False, spared=0)
    names = frozenset(table.names)
    readable = tuple(image for image in train if image.name in names)
    for line in left_out([image.name for image in train if image.name not in names]):
        say(line)
    return TrainingData(
        train=readable,
        dev=dev,
        train_table=table.rows(readable),
        dev_table=dev_table.rows(dev),
        vocabulary=vocabulary,
        device=device,
    )


def _check(recipe: Recipe) -> None:
    """Raise OptionError for a recipe that cannot be trained here, whatever the data set."""
    if recipe.self_critical and distributed.size() > 1:
        raise OptionError("[self_critical] is trained by one process; leave torchrun out")
    if recipe.finetune and recipe.encoder not in list(EncoderName):
        raise OptionError(
            f"the recipe tunes the CNN, but {recipe.encoder} is not a CNN; "
            f"name one of {', '.join(EncoderName)}, or leave [finetune] out"
        )


def _table(
    recipe: Recipe,
    images: tuple[CaptionedImage, ...],
    *,
    mirror: bool,
    spared: int,
    cache: Path,
    device: torch.device,
    track: Track,
) -> FeatureTable:
    """The vectors of the pictures; at most `spared` that cannot be read are left out."""
    if recipe.encoder not in list(EncoderName):
        if not Path(recipe.encoder).is_file():
            known = ", ".join(EncoderName)
            raise OptionError(
                f"{recipe.encoder} is neither an encoder ({known}) nor a feature table"
            )
        found = read_table(Path(recipe.encoder)).rows(images)
        return found if mirror else replace(found, mirrored=None)
    size = recipe.image_size
    name = f"{recipe.encoder}+classes" if recipe.classes else recipe.encoder
    path = cache / table_key(name, size, images, mirror=mirror, device=device)
    with distributed.in_turn():
        if path.is_file():
            return read_table(path)
        cnn = build_cnn(recipe).to(device)
        cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in stubs
        encoder = partial(features, cnn, bfloat16=False)
        table = compute_table(encoder, images, size=size, mirror=mirror, spared=spared, track=track)
        cache.mkdir(parents=True, exist_ok=True)
        write_table(path, table)
        return table


def prepare_sources(
    recipe: Recipe,
    sources: Sequence[Source],
    *,
    cache: Path,
    open_reader: OpenReader,
    seed: int,
    device: torch.device = CPU,
    track: Track = untracked,
    say: Callable[[str], None] = ignore,
) -> TrainingData:
    """Read several sets, and the vectors of all their pictures from the cache, or compute them.

    Raises OptionError for a recipe without a CNN, DatasetError as the sets' readers do and for two
    pictures with one file name, InputError for a picture that cannot be read.
    """
    _check(recipe)
    if recipe.encoder not in list(EncoderName):
        raise OptionError(
            f"several data sets need a CNN, and {recipe.encoder} is not one; "
            f"name one of {', '.join(EncoderName)}"
        )
    mixture = read_mixture(sources)
    store = _store(recipe, mixture, cache=cache, open_reader=open_reader, track=track)
    return prepare_mixture(recipe, mixture, store, seed=seed, device=device, say=say)


def prepare_mixture(
    recipe: Recipe,
    mixture: Mixture,
    store: VectorStore,
    *,
    seed: int,
    device: torch.device = CPU,
    say: Callable[[str], None] = ignore,
) -> TrainingData:
    """What the recipe uses of a mixture. Raises DatasetError for missing vectors."""
    settings = recipe.mixed or Mixed()
    vocabulary = mixture_vocabulary(mixture, minimum_count=recipe.minimum_count)
    train, repeats = mixture.train, mixture.weights
    if settings.weak:
        sentences = [words for image in train for words in image.sentences]
        sentences += mixture.sentences
        lent = weak_pairs(mixture.named, sentences, count=settings.weak, seed=seed)
        train, repeats = (*train, *lent), (*repeats, *[settings.weak_weight] * len(lent))
        say(f"{len(lent):,} named pictures are lent sentences")
    dev = tuple(chain.from_iterable(mixture.dev.values()))
    say(f"{len(train):,} pictures, {len(vocabulary):,} words")
    if settings.sentences:
        say(f"{len(mixture.sentences):,} sentences alone")
    table = partial(store.table, classes=recipe.classes)
    return TrainingData(
        train=train,
        dev=dev,
        train_table=table([image.name for image in train], mirror=recipe.mirror),
        dev_table=table([image.name for image in dev], mirror=False),
        vocabulary=vocabulary,
        mixture=MixtureData(
            repeats=repeats,
            dev_sets={name: len(images) for name, images in mixture.dev.items()},
            sentences=SentenceBank(mixture.sentences, vocabulary) if settings.sentences else None,
            names=_names(store, recipe, mixture, vocabulary) if settings.names else None,
        ),
        device=device,
    )


def _names(
    store: VectorStore, recipe: Recipe, mixture: Mixture, vocabulary: Vocabulary
) -> Names | None:
    """The named pictures with at least one name in the vocabulary."""
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


def _store(
    recipe: Recipe, mixture: Mixture, *, cache: Path, open_reader: OpenReader, track: Track
) -> VectorStore:
    """The vectors of all pictures, in a folder named after the CNN and the pictures."""
    pictures = [image.path for image in chain(mixture.train, *mixture.dev.values())]
    pictures += [image.path for image in chain(mixture.named, mixture.held_out)]
    counts = Counter(path.name for path in pictures)
    complain("file names that occur twice", [name for name, count in counts.items() if count > 1])
    name, size = EncoderName(recipe.encoder), recipe.image_size
    digest = hashlib.sha256()
    for path in pictures:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    folder = cache / f"{name}-{size}-{digest.hexdigest()[:16]}"
    opened: list[Reader] = []

    def read(pixels: Pixels) -> tuple[Vectors, Vectors]:
        if not opened:  # Opening takes seconds, and a full cache needs no CNN.
            opened.append(open_reader(name, size))
        return opened[0](pixels)

    compute(read, pictures, folder, size=size, track=track)
    return open_store(folder)
