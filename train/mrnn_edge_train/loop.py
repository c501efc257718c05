"""The training loop, readable from top to bottom.

Takes a recipe, a data set and an empty folder; leaves in the folder

    run.json                recipe, seed, data, sizes, seconds and the best epoch's figures
    vocab.json              the vocabulary, from the training split alone
    log.ndjson              one line of figures an epoch
    best.safetensors        the weights of the epoch with the best dev CIDEr, or the best perplexity
                            where no image is seen; the CNN's, where it was trained, under `cnn.`;
                            calibrated at the end if the recipe says so
    checkpoint.safetensors  what `resume` goes on from
    checkpoint-previous.safetensors  the one before, in case the last is damaged

On the CPU the same seed on the same machine gives the same figures and weights, seconds aside, in
one go or stopped and resumed at any step. On a GPU that is not promised: some of its sums have no
fixed order. A run may go on on another device. Prints nothing: each epoch's figures are yielded.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mrnn_edge.bundle import write_atomically
from mrnn_edge.doctor.machine import processor
from mrnn_edge.errors import OptionError
from mrnn_edge.progress import Track, untracked
from mrnn_edge.vocab import build_vocabulary
from mrnn_edge_train import distributed
from mrnn_edge_train.calibration import calibrate
from mrnn_edge_train.checkpoint import (
    Checkpoint,
    check_checkpoints,
    read_best,
    read_sound_checkpoint,
)
from mrnn_edge_train.complaints import complain_of_unreadable, left_out, spare
from mrnn_edge_train.course import Course, run_stage
from mrnn_edge_train.datasets import inspect, read_split
from mrnn_edge_train.device import CPU, device_failures, device_name, has_bfloat16
from mrnn_edge_train.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.features import (
    FeatureTable,
    compute_readable,
    read_table,
    table_key,
    write_table,
)
from mrnn_edge_train.finetune import CNN_PREFIX, FinetuneStage, WholeNetwork, split_weights
from mrnn_edge_train.flickr8k import CaptionedImage, Split
from mrnn_edge_train.journal import (
    VOCABULARY,
    EpochFigures,
    Progress,
    StageName,
    read_facts,
    write_journal,
)
from mrnn_edge_train.mixed import MixedStage
from mrnn_edge_train.mixed_later import MixedFinetuneStage, MixedSelfCriticalStage
from mrnn_edge_train.model import MRNN
from mrnn_edge_train.recipe import Recipe, SelfCritical, recipe_from_dict
from mrnn_edge_train.selfcritical import SelfCriticalStage
from mrnn_edge_train.stages import FeatureStage, TrainingData
from mrnn_edge_train.teachers import read_teachers
from mrnn_edge_train.tuning import features


def unheard(_text: str) -> None:
    """For `say`: nobody listens."""


def prepare(
    recipe: Recipe,
    data: Path,
    *,
    cache: Path,
    device: torch.device = CPU,
    track: Track = untracked,
    say: Callable[[str], None] = unheard,
) -> TrainingData:
    """Check and read the data set and have its CNN vectors, from the cache or computed into it.

    The run then trains on the device that computes them. `say` is told what the data set holds
    before that, and which pictures cannot be read after it.

    Training pictures that cannot be read are left out and named, up to one in a hundred. Raises
    DatasetError for more of them and for any dev picture, as `datasets.inspect` does before
    anything is computed, OptionError as `read_teachers` does, and DeviceError if the device fails.
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
    teachers = None
    compute = partial(_table, recipe, cache=cache, device=device, track=track)
    with device_failures(device):
        if recipe.distill and recipe.finetune:
            half = recipe.finetune.bfloat16 and has_bfloat16(device)
            teachers = read_teachers(recipe.distill, vocabulary, bfloat16=half, device=device)
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
        teachers=teachers,
        device=device,
    )


def _check(recipe: Recipe) -> None:
    """Raise OptionError for what no data set can make up for."""
    if recipe.self_critical and distributed.size() > 1:
        raise OptionError("[self_critical] is trained by one process; leave torchrun out")
    if recipe.finetune and recipe.encoder not in list(EncoderName):
        raise OptionError(
            f"the recipe tunes the CNN, but {recipe.encoder} is none; "
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
    """The vectors of the pictures, but for `spared` of them at most that cannot be read."""
    if recipe.encoder not in list(EncoderName):
        if not Path(recipe.encoder).is_file():
            known = ", ".join(EncoderName)
            raise OptionError(f"{recipe.encoder} is no encoder ({known}) and no feature table")
        found = read_table(Path(recipe.encoder)).rows(images)
        return found if mirror else replace(found, mirrored=None)
    size = recipe.image_size
    reader = f"{recipe.encoder}+classes" if recipe.classes else recipe.encoder
    path = cache / table_key(reader, size, images, mirror=mirror, device=device)
    with distributed.in_turn():
        if path.is_file():
            return read_table(path)
        cnn = EfficientNetLite(EncoderName(recipe.encoder), size, classes=recipe.classes)
        cnn.to(device)
        cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in stubs
        encoder = partial(features, cnn, bfloat16=False)
        table, failures = compute_readable(encoder, images, size=size, mirror=mirror, track=track)
        complain_of_unreadable(failures, len(images), allowed=spared)
        cache.mkdir(parents=True, exist_ok=True)
        write_table(path, table)
        return table


def check_out(out: Path) -> None:
    """Raise OptionError unless `out` is free for a run: absent, or an empty folder."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OptionError(f"{out} is there already and not empty; name another folder")


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

    Once `stop()` is true the step under way is finished, a checkpoint written, and the iterator
    ends. Raises OptionError as `check_out` does, TrainingError if the cost is no longer finite;
    the last good checkpoint and the best weights stay.
    """
    if distributed.is_first():
        check_out(out)
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / VOCABULARY, data.vocabulary.to_json())
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
    # Processes that drew the same dropout would learn less from each other.
    torch.manual_seed(seed + distributed.rank())
    course = Course(
        recipe=recipe, data=data, out=out, facts=facts, progress=Progress(), track=track, stop=stop
    )
    yield from _whole(course, None)


def recipe_of(out: Path) -> tuple[Recipe, Path]:
    """The recipe and the data set of a run that is to go on. Raises OptionError if it is none."""
    facts = read_facts(out)
    return recipe_from_dict(facts["recipe"], str(out / "run.json")), Path(facts["data"])


def check_run(out: Path) -> None:
    """Raise what `resume` does of a run that cannot go on, before any picture is read."""
    _facts_here(out)
    check_checkpoints(out)


def has_ended(out: Path) -> bool:
    """Whether nothing is left to train of a run. Raises OptionError if it is none."""
    facts = read_facts(out)
    recipe = recipe_from_dict(facts["recipe"], str(out / "run.json"))
    whole: bool = facts.get("epochs") == recipe.all_epochs
    return whole and ("calibration" in facts or not recipe.calibrate)


def _facts_here(out: Path) -> dict[str, Any]:
    """The facts of a run. Raises OptionError if it is none, or of another number of processes."""
    facts = read_facts(out)
    # Runs from before there were several know of one.
    if (processes := facts.get("processes", 1)) != distributed.size():
        raise OptionError(
            f"{out} is trained by {processes} processes, here are {distributed.size()}; go on with "
            f"torchrun --nproc-per-node {processes}"
        )
    return facts


def resume(
    data: TrainingData,
    out: Path,
    *,
    track: Track = untracked,
    stop: Callable[[], bool] = never,
    say: Callable[[str], None] = unheard,
) -> Iterator[EpochFigures]:
    """Go on with a run from its checkpoint, as `train` would have; nothing is left of a whole one.

    A checkpoint that is damaged is replaced by the one before, and `say` is told. Raises
    TrainingError if there is no sound one, OptionError if the data set is another.
    """
    facts = _facts_here(out)
    recipe, source = recipe_of(out)
    if (out / VOCABULARY).read_bytes() != data.vocabulary.to_json():
        raise OptionError(f"{source} has other words than {out} was begun with; restore it")
    # Runs from before there was a choice were on the CPU.
    devices, here = facts.get("devices", ["cpu"]), device_name(data.device)
    facts["devices"] = devices if devices[-1] == here else [*devices, here]
    with distributed.in_turn():
        checkpoint = read_sound_checkpoint(out, say)
    # For a generator of which the checkpoint has no state: it was written on another device.
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
    """All stages, or what a checkpoint leaves of them; calibration after the last one."""
    recipe, out, progress = course.recipe, course.out, course.progress
    with device_failures(course.data.device):
        yield from _stages(course, checkpoint)
        finished = len(progress.finished) == recipe.all_epochs
        if recipe.calibrate and finished and distributed.is_first():
            found = calibrate(recipe, course.data, out)
            write_journal(out, {**read_facts(out), "calibration": asdict(found)}, progress)


def _stages(course: Course, checkpoint: Checkpoint | None) -> Iterator[EpochFigures]:
    """Each starts from the best weights of those before it."""
    recipe, data, out, progress = course.recipe, course.data, course.out, course.progress
    seed, track = course.facts["seed"], course.track
    first = (
        FeatureStage(recipe, data, seed=seed)
        if data.mixture is None
        else MixedStage(recipe, data, data.mixture, seed=seed)
    )
    model, cnn = first.network, None
    course = replace(course, facts={**course.facts, "sizes": asdict(model.sizes)})
    if progress.stage is StageName.FEATURES:
        yield from run_stage(course, first, checkpoint)
        if progress.epoch <= first.epochs:
            return
        checkpoint = None
    if recipe.finetune is not None:
        cnn = EfficientNetLite(
            EncoderName(recipe.encoder), recipe.image_size, classes=recipe.classes
        ).to(data.device)
    if recipe.finetune is not None and cnn is not None:
        if progress.stage is StageName.FEATURES:
            # From here on the checkpoint is the second stage's, and best.safetensors may change.
            model.load_state_dict(read_best(out))
            progress.stage, progress.epoch = StageName.FINETUNE, 1
        if progress.stage is StageName.FINETUNE:
            network = WholeNetwork(cnn, model, compiled=recipe.finetune.compile)
            second = (
                FinetuneStage(recipe, recipe.finetune, data, network, seed=seed, track=track)
                if data.mixture is None
                else MixedFinetuneStage(
                    recipe, recipe.finetune, data, data.mixture, network, seed=seed, track=track
                )
            )
            yield from run_stage(course, second, checkpoint)
            if progress.epoch <= second.epochs:
                return
            checkpoint = None
    if recipe.self_critical is not None:
        if progress.stage is not StageName.SELF_CRITICAL:
            progress.stage, progress.epoch = StageName.SELF_CRITICAL, 1
        last = _last_stage(course, recipe.self_critical, model, cnn)
        yield from run_stage(course, last, checkpoint)


def _last_stage(
    course: Course, settings: SelfCritical, model: MRNN, cnn: EfficientNetLite | None
) -> SelfCriticalStage:
    """On the best weights so far, with the CNN's among them where it was tuned."""
    tuned, best = split_weights(read_best(course.out))
    model.load_state_dict(best)
    if tuned and cnn is not None:
        cnn.load_state_dict(tuned)
    kind = SelfCriticalStage if course.data.mixture is None else MixedSelfCriticalStage
    return kind(
        course.recipe,
        settings,
        course.data,
        model,
        cnn if tuned else None,
        {CNN_PREFIX + name: each for name, each in tuned.items()},
        seed=course.facts["seed"],
        track=course.track,
    )
