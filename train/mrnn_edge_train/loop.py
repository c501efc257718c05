"""The training loop, readable from top to bottom.

Takes a recipe, a data set and an empty folder; leaves in the folder

    run.json            recipe, seed, data, sizes, seconds and the best epoch's figures
    vocab.json          the vocabulary, from the training split alone
    log.ndjson          one line of figures an epoch
    best.safetensors    the weights of the epoch with the best dev CIDEr

The same seed on the same machine gives the same figures, seconds aside. Prints nothing: each
epoch's figures are yielded.
"""

import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from mrnn_edge.bundle import to_json, write_atomically
from mrnn_edge.errors import OptionError, TrainingError
from mrnn_edge.generation import search_space
from mrnn_edge.vocab import Vocabulary, build_vocabulary
from mrnn_edge_train.batches import Examples
from mrnn_edge_train.cost import bits_per_word, squared_norm
from mrnn_edge_train.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.features import (
    FeatureTable,
    compute_table,
    read_table,
    table_key,
    write_table,
)
from mrnn_edge_train.flickr8k import CaptionedImage, Split, read_split
from mrnn_edge_train.metrics import cider
from mrnn_edge_train.model import MRNN, Dropouts, ModelSizes
from mrnn_edge_train.progress import Track, untracked
from mrnn_edge_train.recipe import Recipe
from mrnn_edge_train.validation import (
    best_sentences,
    image_vectors,
    perplexity,
    step_function,
)


@dataclass(frozen=True, kw_only=True)
class EpochFigures:
    """What an epoch came to. Perplexities count the end sign; unknown words count as one word."""

    epoch: int
    train_bits: float
    """Mean cost a word in bits, with dropout, smoothing and the L2 term in it."""
    dev_perplexity: float
    dev_cider: float
    seconds: float
    best: bool
    """The best dev CIDEr so far."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Pictures, their CNN vectors and the vocabulary."""

    train: tuple[CaptionedImage, ...]
    dev: tuple[CaptionedImage, ...]
    train_table: FeatureTable
    dev_table: FeatureTable
    vocabulary: Vocabulary


def prepare(recipe: Recipe, data: Path, *, cache: Path, track: Track = untracked) -> TrainingData:
    """Read the splits and have their CNN vectors, from the cache or computed into it."""
    train, dev = read_split(data, Split.TRAIN), read_split(data, Split.DEV)
    sentences = (words for image in train for words in image.sentences)
    return TrainingData(
        train=train,
        dev=dev,
        train_table=_table(recipe, train, mirror=True, cache=cache, track=track),
        dev_table=_table(recipe, dev, mirror=False, cache=cache, track=track),
        vocabulary=build_vocabulary(sentences, minimum_count=recipe.minimum_count),
    )


def _table(
    recipe: Recipe,
    images: tuple[CaptionedImage, ...],
    *,
    mirror: bool,
    cache: Path,
    track: Track,
) -> FeatureTable:
    if recipe.encoder not in list(EncoderName):
        if not Path(recipe.encoder).is_file():
            known = ", ".join(EncoderName)
            raise OptionError(f"{recipe.encoder} is no encoder ({known}) and no feature table")
        return read_table(Path(recipe.encoder)).rows(images)
    path = cache / table_key(recipe.encoder, recipe.image_size, images, mirror=mirror)
    if path.is_file():
        return read_table(path).rows(images)
    encoder = EfficientNetLite(EncoderName(recipe.encoder), recipe.image_size)
    table = compute_table(encoder, images, mirror=mirror, track=track)
    cache.mkdir(parents=True, exist_ok=True)
    write_table(path, table)
    return table


def check_out(out: Path) -> None:
    """Raise OptionError unless `out` is free for a run: absent, or an empty folder."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OptionError(f"{out} is there already and not empty; name another folder")


def train(
    recipe: Recipe,
    data: TrainingData,
    out: Path,
    *,
    seed: int,
    source: str,
    track: Track = untracked,
) -> Iterator[EpochFigures]:
    """Train, yielding the figures of each epoch. `source` names the data set in run.json.

    Raises OptionError as `check_out` does, TrainingError if the cost is no longer finite.
    """
    check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = _build(recipe, data)
    examples = Examples(data.train, data.train_table, data.vocabulary)
    dev_examples = Examples(data.dev, data.dev_table, data.vocabulary)
    steps = math.ceil(len(examples) / recipe.batch)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate(recipe, steps))
    write_atomically(out / "vocab.json", data.vocabulary.to_json())
    run = {
        "recipe": recipe.to_dict(),
        "seed": seed,
        "data": source,
        "sizes": asdict(model.sizes),
        "train_sentences": len(examples),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    best = -math.inf
    for epoch in range(1, recipe.epochs + 1):
        started = time.perf_counter()
        bits = 0.0
        model.train()
        batches = examples.epoch(size=recipe.batch, seed=seed, epoch=epoch)
        for batch in track(batches, f"epoch {epoch}", steps):
            logits = model(batch.inputs, batch.features, batch.mask)
            cost = bits_per_word(logits, batch.targets, smoothing=recipe.label_smoothing)
            if recipe.l2:
                cost = cost + recipe.l2 * squared_norm(model.parameters())
            if not torch.isfinite(cost):
                raise TrainingError(
                    f"the cost of epoch {epoch} is {float(cost.detach())}; "
                    "lower the learning rate, or check the feature table"
                )
            optimiser.zero_grad()
            torch.autograd.backward(cost)
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimiser.step()
            schedule.step()
            bits += float(cost.detach()) / steps
        model.eval()
        score = _dev_cider(model, data, recipe)
        figures = EpochFigures(
            epoch=epoch,
            train_bits=bits,
            dev_perplexity=perplexity(model, dev_examples.in_order(size=500)),
            dev_cider=score,
            seconds=time.perf_counter() - started,
            best=score > best,
        )
        with (out / "log.ndjson").open("a", encoding="ascii") as log:
            log.write(json.dumps(asdict(figures)) + "\n")
        if figures.best:
            best = score
            write_atomically(out / "best.safetensors", save(dict(model.state_dict())))
        write_atomically(out / "run.json", to_json({**run, **_so_far(out)}))
        yield figures


def _build(recipe: Recipe, data: TrainingData) -> MRNN:
    features = torch.from_numpy(data.train_table.features)
    model = MRNN(
        ModelSizes(
            vocabulary=len(data.vocabulary),
            feature=features.shape[1],
            embedding=recipe.embedding,
            state=recipe.state,
            multimodal=recipe.multimodal,
        ),
        Dropouts(image=recipe.drop_image, word=recipe.drop_word, multimodal=recipe.drop_multimodal),
    )
    model.standardise_on(features)
    return model


def _rate(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Linear warm-up, then a cosine to zero, as a factor of the peak."""
    total = recipe.epochs * steps
    rise = max(1, round(recipe.warmup * total))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, total - rise)))

    return factor


def _dev_cider(model: MRNN, data: TrainingData, recipe: Recipe) -> float:
    found = best_sentences(
        step_function(model),
        image_vectors(model, data.dev_table.features),
        search_space(data.vocabulary, state=model.sizes.state),
        recipe.decoding,
    )
    captions = [data.vocabulary.decode(tokens) for tokens in found]
    return cider([image.sentences for image in data.dev], captions)


def _so_far(out: Path) -> dict[str, Any]:
    lines = (out / "log.ndjson").read_text(encoding="ascii").splitlines()
    epochs = [json.loads(line) for line in lines]
    return {
        "epochs": len(epochs),
        "seconds": round(sum(epoch["seconds"] for epoch in epochs)),
        "best": max(epochs, key=lambda epoch: float(epoch["dev_cider"])),
    }
