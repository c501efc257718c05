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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mrnn_edge.errors import OptionError
from mrnn_edge.files import write_whole
from mrnn_edge.machine import processor
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train import distributed
from mrnn_edge_train.calibration import calibrate
from mrnn_edge_train.checkpoint import (
    Checkpoint,
    check_checkpoints,
    read_best,
    read_sound_checkpoint,
)
from mrnn_edge_train.course import Course, run_stage
from mrnn_edge_train.data.mixture import Source, names_of, parse_sources, written
from mrnn_edge_train.journal import (
    VOCABULARY,
    EpochFigures,
    Progress,
    StageName,
    read_facts,
    write_journal,
)
from mrnn_edge_train.network.encoders import EfficientNetLite
from mrnn_edge_train.network.model import MRNN
from mrnn_edge_train.prepare import ignore
from mrnn_edge_train.recipe import Recipe, recipe_from_dict
from mrnn_edge_train.stages.finetune import FinetuneStage, WholeNetwork, split_weights
from mrnn_edge_train.stages.mixed import MixedFinetuneStage, MixedStage
from mrnn_edge_train.stages.selfcritical import SelfCriticalStage
from mrnn_edge_train.stages.stages import FeatureStage, Stage, TrainingData, build_cnn
from mrnn_edge_train.torch_device import device_failures, device_name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is made of."""

    recipe: Recipe
    sources: tuple[Source, ...]
    """Its data sets."""
    seed: int


def check_out(out: Path) -> None:
    """Raise OptionError unless `out` is absent or an empty folder."""
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise OptionError(f"{out} already exists and is not empty; name another folder")


def never() -> bool:
    """For `stop`: run to the end."""
    return False


def train(
    plan: Plan,
    data: TrainingData,
    out: Path,
    *,
    track: Track = untracked,
    stop: Callable[[], bool] = never,
) -> Iterator[EpochFigures]:
    """Train, yielding the figures of each epoch.

    When `stop()` returns true, the current step is finished, a checkpoint is written, and the
    iterator ends. Raises OptionError as `check_out` does, TrainingError if the cost is not finite;
    the last good checkpoint and the best weights stay.
    """
    if distributed.is_first():
        check_out(out)
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / VOCABULARY, data.vocabulary.to_json())
    facts = {
        "recipe": plan.recipe.to_dict(),
        "seed": plan.seed,
        "data": written(plan.sources),
        "train_sentences": sum(len(image.sentences) for image in data.train),
        "torch": torch.__version__,
        "machine": f"{processor().name}, {torch.get_num_threads()} threads",
        "processes": distributed.size(),
        "devices": [device_name(data.device)],
    }
    # A seed for each process: with the same dropout they would learn less from each other.
    torch.manual_seed(plan.seed + distributed.rank())
    course = Course(
        recipe=plan.recipe,
        data=data,
        out=out,
        facts=facts,
        progress=Progress(),
        track=track,
        stop=stop,
    )
    yield from _whole(course, None)


def plan_of(out: Path) -> Plan:
    """The plan of a run to resume. Raises OptionError if it is not a run."""
    facts = read_facts(out)
    recipe = recipe_from_dict(facts["recipe"], str(out / "run.json"))
    return Plan(recipe=recipe, sources=parse_sources(facts["data"]), seed=facts["seed"])


def check_run(out: Path) -> None:
    """Raise as `resume` does if a run cannot be resumed, before any picture is read."""
    _facts_here(out)
    check_checkpoints(out)


def has_ended(out: Path) -> bool:
    """Whether a run is finished. Raises OptionError if it is not a run."""
    facts, recipe = read_facts(out), plan_of(out).recipe
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
    recipe = plan_of(out).recipe
    if (out / VOCABULARY).read_bytes() != data.vocabulary.to_json():
        raise OptionError(
            f"the data gives another vocabulary than {out} was trained with; restore "
            f"{names_of(facts['data'])}"
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
    data, seed = course.data, course.facts["seed"]
    stage: Stage[Any] = (
        MixedStage(recipe, data, data.mixture, seed=seed)
        if data.mixture
        else FeatureStage(recipe, data, seed=seed)
    )
    model, cnn = stage.network, None
    course = replace(course, facts={**course.facts, "sizes": asdict(model.sizes)})
    settings = (recipe, recipe.finetune, recipe.self_critical)
    names = [name for name, each in zip(StageName, settings, strict=True) if each]
    for name in names[names.index(progress.stage) :]:
        if name is not StageName.FEATURES:
            if cnn is None and recipe.finetune:
                cnn = build_cnn(recipe).to(data.device)
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
        whole = WholeNetwork(cnn, model)
        if data.mixture:
            return MixedFinetuneStage(recipe, data, data.mixture, whole, seed=seed, track=track)
        return FinetuneStage(recipe, data, whole, seed=seed, track=track)
    return SelfCriticalStage(recipe, data, model, cnn if tuned else None, seed=seed, track=track)
