"""The training loop, readable from top to bottom.

Takes a recipe, a data set and an empty folder; leaves in the folder

    run.json                recipe, seed, data, sizes, seconds and the best epoch's figures
    vocab.json              the vocabulary, from the training split alone
    log.ndjson              one line of figures an epoch
    best.safetensors        the weights of the epoch with the best dev CIDEr, or the best perplexity
                            where no image is seen; the CNN's, where it was trained, under `cnn.`;
                            calibrated at the end if the recipe says so
    checkpoint.safetensors  what `resume` continues from
    checkpoint-previous.safetensors  the checkpoint before, in case the last is damaged

On the CPU the same seed on the same machine gives the same figures and weights, seconds aside, in
one go or stopped and resumed at any step. A GPU does not promise that: some of its sums have no
fixed order. A run may be resumed on another device. Prints nothing: yields each epoch's figures.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mrnn_edge.errors import OptionError
from mrnn_edge.files import write_whole
from mrnn_edge.machine import processor
from mrnn_edge.timing import Track, untracked
from mrnn_edge.vocab import build_vocabulary
from mrnn_edge_train import distributed
from mrnn_edge_train.calibration import calibrate
from mrnn_edge_train.checkpoint import (
    Checkpoint,
    check_checkpoints,
    read_best,
    read_sound_checkpoint,
)
from mrnn_edge_train.course import Course, run_stage
from mrnn_edge_train.data.common import (
    CaptionedImage,
    Split,
    left_out,
    spare,
)
from mrnn_edge_train.data.datasets import inspect, read_split
from mrnn_edge_train.journal import (
    VOCABULARY,
    EpochFigures,
    Progress,
    StageName,
    read_facts,
    write_journal,
)
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.network.model import MRNN
from mrnn_edge_train.network.tuning import features
from mrnn_edge_train.recipe import Recipe, recipe_from_dict
from mrnn_edge_train.stages.features import (
    FeatureTable,
    compute_table,
    read_table,
    table_key,
    write_table,
)
from mrnn_edge_train.stages.finetune import FinetuneStage, WholeNetwork, split_weights
from mrnn_edge_train.stages.selfcritical import SelfCriticalStage
from mrnn_edge_train.stages.stages import FeatureStage, Stage, TrainingData, build_cnn
from mrnn_edge_train.torch_device import CPU, device_failures, device_name, has_bfloat16


def ignore(_text: str) -> None:
    """For `say`: discard the message."""


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
    path = cache / table_key(recipe.encoder, size, images, mirror=mirror, device=device)
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


def check_out(out: Path) -> None:
    """Raise OptionError unless `out` is absent or an empty folder."""
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise OptionError(f"{out} already exists and is not empty; name another folder")


def never() -> bool:
    """For `stop`: run to the end."""
    return False


def train(
    recipe: Recipe,
    data: TrainingData,
    out: Path,
    *,
    seed: int,
    source: str,
    track: Track = untracked,
    stop: Callable[[], bool] = never,
) -> Iterator[EpochFigures]:
    """Train, yielding the figures of each epoch. `source` names the data set in run.json.

    When `stop()` returns true, the current step is finished, a checkpoint is written, and the
    iterator ends. Raises OptionError as `check_out` does, TrainingError if the cost is not finite;
    the last good checkpoint and the best weights stay.
    """
    if distributed.is_first():
        check_out(out)
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / VOCABULARY, data.vocabulary.to_json())
    facts = {
        "recipe": recipe.to_dict(),
        "seed": seed,
        "data": source,
        "train_sentences": sum(len(image.sentences) for image in data.train),
        "torch": torch.__version__,
        "machine": f"{processor().name}, {torch.get_num_threads()} threads",
        "processes": distributed.size(),
        "devices": [device_name(data.device)],
    }
    # A seed for each process: with the same dropout they would learn less from each other.
    torch.manual_seed(seed + distributed.rank())
    course = Course(
        recipe=recipe, data=data, out=out, facts=facts, progress=Progress(), track=track, stop=stop
    )
    yield from _whole(course, None)


def recipe_of(out: Path) -> tuple[Recipe, Path]:
    """The recipe and the data set of a run to resume. Raises OptionError if it is not a run."""
    facts = read_facts(out)
    return recipe_from_dict(facts["recipe"], str(out / "run.json")), Path(facts["data"])


def check_run(out: Path) -> None:
    """Raise as `resume` does if a run cannot be resumed, before any picture is read."""
    _facts_here(out)
    check_checkpoints(out)


def has_ended(out: Path) -> bool:
    """Whether a run is finished. Raises OptionError if it is not a run."""
    facts = read_facts(out)
    recipe = recipe_from_dict(facts["recipe"], str(out / "run.json"))
    whole: bool = facts.get("epochs") == recipe.all_epochs
    return whole and ("calibration" in facts or not recipe.calibrate)


def _facts_here(out: Path) -> dict[str, Any]:
    """The facts of a run. Raises OptionError for no run, or another number of processes."""
    facts = read_facts(out)
    # Older runs lack the entry: one process.
    if (processes := facts.get("processes", 1)) != distributed.size():
        raise OptionError(
            f"{out} is trained by {processes} processes, not {distributed.size()}; continue with "
            f"torchrun --nproc-per-node {processes}"
        )
    return facts


def resume(
    data: TrainingData,
    out: Path,
    *,
    track: Track = untracked,
    stop: Callable[[], bool] = never,
    say: Callable[[str], None] = ignore,
) -> Iterator[EpochFigures]:
    """Resume a run from its checkpoint, to the same end; a finished run yields nothing.

    A damaged checkpoint is replaced by the one before, and `say` receives a message. Raises
    TrainingError if neither can be read, OptionError if the data set has changed.
    """
    facts = _facts_here(out)
    recipe, source = recipe_of(out)
    if (out / VOCABULARY).read_bytes() != data.vocabulary.to_json():
        raise OptionError(
            f"{source} gives another vocabulary than {out} was trained with; restore it"
        )
    # Older runs lack the entry: the CPU.
    devices, here = facts.get("devices", ["cpu"]), device_name(data.device)
    facts["devices"] = devices if devices[-1] == here else [*devices, here]
    with distributed.in_turn():
        checkpoint = read_sound_checkpoint(out, say)
    # For a generator whose state the checkpoint lacks because another device wrote it.
    torch.manual_seed(facts["seed"] + distributed.rank())
    course = Course(
        recipe=recipe,
        data=data,
        out=out,
        facts=facts,
        progress=checkpoint.progress,
        track=track,
        stop=stop,
    )
    yield from _whole(course, checkpoint)


def _whole(course: Course, checkpoint: Checkpoint | None) -> Iterator[EpochFigures]:
    """All stages, or those left after a checkpoint; then calibration."""
    recipe, out, progress = course.recipe, course.out, course.progress
    with device_failures(course.data.device):
        yield from _stages(course, checkpoint)
        finished = len(progress.finished) == recipe.all_epochs
        if recipe.calibrate and finished and distributed.is_first():
            found = calibrate(recipe, course.data, out)
            write_journal(out, {**read_facts(out), "calibration": asdict(found)}, progress)


def _stages(course: Course, checkpoint: Checkpoint | None) -> Iterator[EpochFigures]:
    """Each stage starts from the best weights so far."""
    recipe, progress = course.recipe, course.progress
    stage: Stage[Any] = FeatureStage(recipe, course.data, seed=course.facts["seed"])
    model, cnn = stage.network, None
    course = replace(course, facts={**course.facts, "sizes": asdict(model.sizes)})
    settings = (recipe, recipe.finetune, recipe.self_critical)
    names = [name for name, each in zip(StageName, settings, strict=True) if each]
    for name in names[names.index(progress.stage) :]:
        if name is not StageName.FEATURES:
            if cnn is None and recipe.finetune:
                cnn = build_cnn(recipe).to(course.data.device)
            stage = _later_stage(course, name, model, cnn)
        if progress.stage is not name:
            # From here the checkpoint belongs to this stage, and best.safetensors may change.
            progress.stage, progress.epoch = name, 1
        yield from run_stage(course, stage, checkpoint)
        if progress.epoch <= stage.settings.epochs:
            return
        checkpoint = None


def _later_stage(
    course: Course, name: StageName, model: MRNN, cnn: EfficientNetLite | None
) -> Stage[Any]:
    """A stage after the first, on the best weights so far, including the CNN's if it was tuned."""
    recipe, data = course.recipe, course.data
    seed, track = course.facts["seed"], course.track
    tuned, best = split_weights(read_best(course.out))
    model.load_state_dict(best)
    if tuned and cnn is not None:
        cnn.load_state_dict(tuned)
    if name is StageName.FINETUNE and cnn is not None:
        return FinetuneStage(recipe, data, WholeNetwork(cnn, model), seed=seed, track=track)
    return SelfCriticalStage(recipe, data, model, cnn if tuned else None, seed=seed, track=track)
