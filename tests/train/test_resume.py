"""A run that is stopped and resumed is the run that was never stopped, to the last bit."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import dataset
import pytest
import torch
from safetensors.torch import load_file
from training import plan

from mrnn_edge.errors import OptionError, TrainingError
from mrnn_edge_train import checkpoint, course
from mrnn_edge_train.checkpoint import CHECKPOINT, PREVIOUS, read_checkpoint
from mrnn_edge_train.loop import plan_of, resume, train
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.stages.stages import FeatureStage


@pytest.fixture
def data(tmp_path):
    return dataset.write(tmp_path / "set", train=12, dev=6, test=2)


@pytest.fixture
def prepared(two_stages, data, tmp_path):
    return prepare(two_stages, data, cache=tmp_path)


class StopAfter:
    """Says stop after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def __call__(self):
        self.left -= 1
        return self.left <= 0


def rows(folder):
    lines = (folder / "log.ndjson").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


def assert_same_run(one, other):
    assert rows(one) == rows(other)
    assert (one / "best.safetensors").read_bytes() == (other / "best.safetensors").read_bytes()
    assert all(row["gradient"] > 0 for row in rows(one))
    left, right = load_file(one / CHECKPOINT), load_file(other / CHECKPOINT)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_stopped_after_every_second_step_it_ends_as_if_it_had_not_been(
    two_stages, prepared, data, tmp_path
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = list(train(plan(two_stages, data), prepared, whole))
    found = list(train(plan(two_stages, data), prepared, parts, stop=StopAfter(2)))
    assert found == []
    # 2 epochs of 6 steps, then 2 of 2, the last pause after the last step.
    for _ in range(8):
        assert plan_of(parts) == plan(two_stages, data)
        found += list(resume(prepared, parts, stop=StopAfter(2)))
    assert [(each.stage, each.epoch) for each in found] == [
        (each.stage, each.epoch) for each in expected
    ]
    assert_same_run(whole, parts)
    assert list(resume(prepared, parts)) == []


def test_a_run_of_three_stages_resumes_in_the_last_as_if_it_had_not_been_stopped(
    three_stages, data, tmp_path
):
    prepared = prepare(three_stages, data, cache=tmp_path)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = list(train(plan(three_stages, data), prepared, whole))
    assert [each.stage for each in expected] == 2 * ["features"] + 2 * ["finetune"] + [
        "self-critical"
    ]
    # 12 steps, 4 steps, and the first of the last three.
    list(train(plan(three_stages, data), prepared, parts, stop=StopAfter(17)))
    assert len(rows(parts)) == 4
    assert len(list(resume(prepared, parts))) == 1
    assert_same_run(whole, parts)


def test_a_network_without_image_resumes_and_still_keeps_the_least_perplexity(
    two_stages, data, tmp_path
):
    blind = dataclasses.replace(two_stages, image=False, finetune=None, epochs=6, learning_rate=0.3)
    prepared = prepare(blind, data, cache=tmp_path)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = list(train(plan(blind, data), prepared, whole))
    perplexities = [each.dev_perplexity for each in expected]
    least = [each == min(perplexities[: place + 1]) for place, each in enumerate(perplexities)]
    assert not all(least)  # at this rate it rises once
    # 6 epochs of 6 steps, a pause after each 7 of them.
    list(train(plan(blind, data), prepared, parts, stop=StopAfter(7)))
    for _ in range(5):
        list(resume(prepared, parts, stop=StopAfter(7)))
    assert_same_run(whole, parts)
    assert [row["best"] for row in rows(parts)] == least


def test_a_crash_between_two_checkpoints_costs_what_came_after_the_first(
    two_stages, prepared, data, tmp_path
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    list(train(plan(two_stages, data), prepared, whole))
    run = train(plan(two_stages, data), prepared, parts)
    checkpoints = []
    for _ in run:
        checkpoints.append((parts / CHECKPOINT).read_bytes())
    # The state of the disk if it had died after writing epoch 4 and before its checkpoint.
    (parts / CHECKPOINT).write_bytes(checkpoints[2])
    assert len(list(resume(prepared, parts))) == 1
    assert_same_run(whole, parts)


def test_within_an_epoch_a_checkpoint_is_written_from_time_to_time(
    two_stages, prepared, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(course, "_SAVE_EVERY", 0.0)
    steps = []

    def stop():
        if (tmp_path / "run" / CHECKPOINT).is_file():
            steps.append(read_checkpoint(tmp_path / "run").progress.step)
        return len(steps) == 4

    list(train(plan(two_stages, data), prepared, tmp_path / "run", stop=stop))
    assert steps == [0, 1, 2, 3]


def steep(cost):
    """The cost as it is, with a slope that has no end: that of a root at zero."""
    return cost + (cost - cost.detach()).clamp_min(0.0).sqrt()


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda cost: cost * float("nan"), r"the cost of epoch 2 \(features\) is nan"),
        (steep, r"the gradient of epoch 2 \(features\) has the norm (nan|inf)"),
    ],
)
def test_a_cost_or_a_gradient_that_is_not_finite_leaves_the_last_good_checkpoint(
    two_stages, prepared, data, tmp_path, monkeypatch, spoilt, said
):
    run = train(plan(two_stages, data), prepared, tmp_path / "run")
    next(run)
    good = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    costs = FeatureStage.costs

    def broken(self, *, epoch, first):
        yield from map(spoilt, costs(self, epoch=epoch, first=first))

    monkeypatch.setattr(FeatureStage, "costs", broken)
    monkeypatch.setattr(course, "_SAVE_EVERY", 0.0)  # what was spoilt would be written at once
    with pytest.raises(TrainingError, match=said):
        next(run)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == good
    monkeypatch.undo()
    assert len(list(resume(prepared, tmp_path / "run"))) == 3


def test_a_disk_that_is_full_costs_the_checkpoint_that_did_not_fit_and_no_other(
    two_stages, prepared, data, tmp_path, monkeypatch
):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    list(train(plan(two_stages, data), prepared, whole))
    run = train(plan(two_stages, data), prepared, folder)
    next(run)
    kept = {name: (folder / name).read_bytes() for name in (CHECKPOINT, PREVIOUS)}
    real = checkpoint.write_whole

    def full(path, data):
        if path.name.startswith("checkpoint"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, data)

    monkeypatch.setattr(checkpoint, "write_whole", full)
    with pytest.raises(OSError, match="No space left"):
        next(run)
    assert {name: (folder / name).read_bytes() for name in kept} == kept
    monkeypatch.undo()
    list(resume(prepared, folder))
    assert_same_run(whole, folder)


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from mrnn_edge_train.network.averaging import WeightAverage
from mrnn_edge_train.checkpoint import TrainingState, read_sound_checkpoint
from mrnn_edge_train.journal import Progress

torch.set_num_threads(1)
os.fsync = lambda _: None  # what was written outlives a process: most of the time is for writing
folder = Path(sys.argv[1])
network = torch.nn.Linear(300, 300)
optimiser = torch.optim.AdamW(network.parameters())
state = TrainingState(
    recipe={}, network=network, average=WeightAverage(network, 0.0), optimiser=optimiser,
    progress=Progress(),
)
torch.nn.init.zeros_(network.bias)
state.save(folder)
chance, last = random.Random(1), 0
for _ in range(25):
    saved, tell = os.pipe()
    child = os.fork()
    if not child:
        while True:
            state.progress.step += 1
            torch.nn.init.constant_(network.bias, state.progress.step)
            state.save(folder)
            os.write(tell, b".")
    os.read(saved, 1)
    time.sleep(chance.uniform(0.0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(saved), os.close(tell)
    found = read_sound_checkpoint(folder, lambda _: None)
    assert found.progress.step >= last, (found.progress.step, last)
    assert (found.tensors["network.bias"] == found.progress.step).all()
    last = state.progress.step = found.progress.step
print(last)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_killed_at_any_moment_a_run_has_a_whole_checkpoint_and_none_older_than_before(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, tmp_path],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 25


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    """One bit, of a weight."""
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before_and_the_run_ends_the_same(
    two_stages, prepared, data, tmp_path, damage
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    list(train(plan(two_stages, data), prepared, whole))
    # Saved at the end of epoch 1, and after the second step of epoch 2.
    list(train(plan(two_stages, data), prepared, parts, stop=StopAfter(8)))
    damage(parts / CHECKPOINT)
    said = []
    assert len(list(resume(prepared, parts, say=said.append))) == 3
    assert len(said) == 1
    assert said[0].endswith("continuing from the one before, features 2, step 0")
    assert_same_run(whole, parts)


def test_a_run_that_dies_again_right_after_falling_back_loses_nothing(
    two_stages, prepared, data, tmp_path
):
    folder = tmp_path / "run"
    list(train(plan(two_stages, data), prepared, folder, stop=StopAfter(1)))
    sound = (folder / PREVIOUS).read_bytes()
    cut(folder / CHECKPOINT)
    next(resume(prepared, folder, stop=StopAfter(1)), None)
    assert (folder / PREVIOUS).read_bytes() == sound
    assert read_checkpoint(folder).progress.step == 1


@pytest.mark.parametrize("damage", ["cut", "gone", "other", "smaller rate"])
def test_checkpoints_that_cannot_be_used_are_told_and_nothing_is_overwritten(
    two_stages, prepared, data, tmp_path, damage
):
    folder = tmp_path / "run"
    list(train(plan(two_stages, data), prepared, folder, stop=StopAfter(1)))
    if damage == "other":
        facts = json.loads((folder / "run.json").read_text())
        facts["recipe"]["state"] += 1
        (folder / "run.json").write_text(json.dumps(facts))
    elif damage == "smaller rate":
        facts = json.loads((folder / "run.json").read_text())
        facts["recipe"]["finetune"]["learning_rate"] /= 2
        (folder / "run.json").write_text(json.dumps(facts))
    for name in (CHECKPOINT, PREVIOUS):
        if damage == "cut":
            cut(folder / name)
        elif damage == "gone":
            (folder / name).unlink()
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    with pytest.raises(TrainingError, match="train again"):
        list(resume(prepared, folder))
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_a_run_does_not_go_on_with_other_words(two_stages, prepared, data, tmp_path):
    folder = tmp_path / "run"
    list(train(plan(two_stages, data), prepared, folder, stop=StopAfter(1)))
    captions = data / "text" / "Flickr8k.token.txt"
    captions.write_text(captions.read_text().replace("wall", "fence"))
    other = prepare(dataclasses.replace(two_stages), data, cache=tmp_path)
    with pytest.raises(OptionError, match="another vocabulary"):
        list(resume(other, folder))


def test_a_folder_that_is_no_run_cannot_be_resumed(tmp_path):
    with pytest.raises(OptionError, match="not a training run"):
        plan_of(tmp_path)
