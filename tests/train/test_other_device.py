"""A run on a device that is not the CPU, for which a process of its own stands in; see there."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import dataset
import pytest
import torch
from safetensors.torch import load_file
from training import plan

from mrnn_edge_train.checkpoint import CHECKPOINT
from mrnn_edge_train.loop import resume, train
from mrnn_edge_train.prepare import prepare

SCRIPT = Path(__file__).with_name("other_device.py")
THERE = "elsewhere:0, no device"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, three_stages):
    """`cpu` was never anywhere else; `begun` was stopped there, `whole` stopped and ended there,
    `from the CPU` stopped here and ended there. All three stages, crops, calibration.
    """
    folder = tmp_path_factory.mktemp("runs")
    data = dataset.write(folder / "set", train=12, dev=6, test=2)

    def on_the_cpu(recipe, name, stop=lambda: False):
        prepared = prepare(recipe, data, cache=folder / "cpu cache")
        list(train(plan(recipe, data), prepared, folder / name, stop=stop))

    recipe = dataclasses.replace(
        three_stages,
        calibrate=True,
        self_critical=dataclasses.replace(three_stages.self_critical, crops=2),
    )
    on_the_cpu(recipe, "cpu")
    # Two epochs of 6 steps and two of 2 come before the last stage's.
    steps = iter(range(1, 100))
    on_the_cpu(recipe, "from the CPU", stop=lambda: next(steps) == 14)
    (folder / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    done = subprocess.run(
        [sys.executable, SCRIPT, folder], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    prepared = prepare(recipe, data, cache=folder / "cpu cache")
    (folder / "begun as it was").write_bytes((folder / "begun" / CHECKPOINT).read_bytes())
    list(resume(prepared, folder / "begun"))
    return folder


def rows(run):
    lines = (run / "log.ndjson").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


@pytest.mark.parametrize("name", ["whole", "begun", "from the CPU"])
def test_it_computes_what_the_cpu_does_wherever_it_was_begun(folder, name):
    here, there = folder / "cpu", folder / name
    assert len(rows(here)) == 5
    assert rows(there) == rows(here)
    assert (there / "best.safetensors").read_bytes() == (here / "best.safetensors").read_bytes()
    left, right = load_file(here / CHECKPOINT), load_file(there / CHECKPOINT)
    right.pop("random_device", None)
    assert left.keys() == right.keys()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("cpu", ["cpu"]),
        ("whole", [THERE]),
        ("begun", [THERE, "cpu"]),
        ("from the CPU", ["cpu", THERE]),
    ],
)
def test_the_run_names_its_devices_in_their_order(folder, name, devices):
    assert json.loads((folder / name / "run.json").read_text())["devices"] == devices


def test_the_devices_own_random_generator_goes_on_where_it_was(folder):
    facts = json.loads((folder / "facts.json").read_text())
    state = list(range(16))
    assert load_file(folder / "begun as it was")["random_device"].tolist() == state
    assert facts["restored"] == [state]
    assert facts["restored from the CPU"] == []
    assert "random_device" not in load_file(folder / "cpu" / CHECKPOINT)


def test_the_vectors_are_cached_apart(folder):
    kept = [{path.name for path in (folder / name).iterdir()} for name in ("cache", "cpu cache")]
    assert [len(each) for each in kept] == [2, 2]
    assert kept[0].isdisjoint(kept[1])
