"""Train one stage of a run: epochs of steps, their figures, checkpoints after and within each.

Takes a stage, at its start or at a checkpoint; writes into the run's folder.
Knows no order of stages and no data set.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mrnn_edge.errors import TrainingError
from mrnn_edge.timing import Track
from mrnn_edge_train import distributed
from mrnn_edge_train.checkpoint import Checkpoint, TrainingState, write_best
from mrnn_edge_train.journal import EpochFigures, Progress, write_journal
from mrnn_edge_train.network.averaging import Network, WeightAverage
from mrnn_edge_train.recipe import Recipe
from mrnn_edge_train.stages.stages import Stage, TrainingData

_SAVE_EVERY = 300.0
"""Seconds between checkpoints within an epoch."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """What the stages of a run share. They advance `progress`."""

    recipe: Recipe
    data: TrainingData
    out: Path
    facts: Mapping[str, Any]
    """For run.json."""
    progress: Progress
    track: Track
    stop: Callable[[], bool]


def run_stage(
    course: Course, stage: Stage[Network], checkpoint: Checkpoint | None
) -> Iterator[EpochFigures]:
    """Train one stage, from its start or from its checkpoint."""
    out, progress = course.out, course.progress
    average = WeightAverage(stage.network, stage.settings.average)
    optimiser = torch.optim.AdamW(stage.groups(), lr=0.0)
    state = TrainingState(
        recipe=course.facts["recipe"],
        network=stage.network,
        average=average,
        optimiser=optimiser,
        progress=progress,
    )
    if checkpoint is not None:
        state.restore(checkpoint)
    else:
        state.save(out)
        if distributed.is_first():
            write_journal(out, course.facts, progress)
    while progress.epoch <= stage.settings.epochs:
        if _epoch(course, stage, state):
            return
        figures = distributed.from_first(partial(_measured, course, stage, average))
        if figures.best and distributed.is_first():
            write_best(out, stage.weights(average.network))
        progress.finish_epoch(figures)
        state.save(out)
        if distributed.is_first():
            write_journal(out, course.facts, progress)
        distributed.wait()
        yield figures


def _epoch(course: Course, stage: Stage[Network], state: TrainingState[Network]) -> bool:
    """Train the remaining steps of an epoch, with checkpoints. Returns whether it was stopped."""
    progress = course.progress
    stage.network.train()
    started = saved = time.perf_counter()
    before = progress.seconds
    costs = stage.costs(epoch=progress.epoch, first=progress.step)
    description = f"{stage.name} {progress.epoch}"
    for cost in course.track(costs, description, stage.steps - progress.step):
        _descend(stage, state, cost)
        now = time.perf_counter()
        progress.seconds = before + now - started
        if distributed.any_of(course.stop()):
            state.save(course.out)
            return True
        if distributed.any_of(now - saved >= _SAVE_EVERY):
            state.save(course.out)
            saved = now
    progress.seconds = before + time.perf_counter() - started
    return False


def _descend(stage: Stage[Network], state: TrainingState[Network], cost: Tensor) -> None:
    """One optimiser step.

    Raises TrainingError, without a step, if the cost or its gradient is not finite.
    """
    progress, optimiser = state.progress, state.optimiser
    worth = float(distributed.mean(cost.detach()))
    if not math.isfinite(worth):
        raise TrainingError(
            f"the cost of epoch {progress.epoch} ({stage.name}) is "
            f"{worth}; lower the learning rate, or check the feature table"
        )
    done = (progress.epoch - 1) * stage.steps + progress.step
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * stage.rate(done)
    optimiser.zero_grad()
    torch.autograd.backward(cost)
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    steepness = float(torch.nn.utils.clip_grad_norm_(parameters, stage.settings.clip))
    if not math.isfinite(steepness):
        # A finite cost can have an infinite gradient, and one such step spoils every weight.
        raise TrainingError(
            f"the gradient of epoch {progress.epoch} ({stage.name}) has the norm {steepness}; "
            "lower the learning rate, or check the feature table"
        )
    optimiser.step()
    state.average.update(stage.network, done + 1)
    progress.step += 1
    progress.bits += worth / stage.steps
    progress.gradient += steepness / stage.steps


def _measured(
    course: Course, stage: Stage[Network], average: WeightAverage[Network]
) -> EpochFigures:
    started, progress = time.perf_counter(), course.progress
    dev = stage.measure(average.network)
    figures = EpochFigures(
        stage=stage.name,
        epoch=progress.epoch,
        train_bits=progress.bits,
        gradient=progress.gradient,
        dev_perplexity=dev.perplexity,
        dev_cider=dev.cider,
        dev_sets=dev.by_set,
        seconds=progress.seconds + time.perf_counter() - started,
        best=False,
    )
    before, image = progress.best, course.recipe.image
    return replace(figures, best=before is None or figures.excels(before, image=image))
