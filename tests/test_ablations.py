"""Rows of changes, trained from two seeds on a generated data set, with a feature table as CNN."""

import dataclasses
import importlib.util
import json
import statistics
from importlib import resources
from pathlib import Path

import dataset
import numpy as np
import pytest
import torch
import training
from safetensors.torch import load_file

from mrnn_edge.errors import OptionError
from mrnn_edge_train.loop import train
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.recipe import read_recipe

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "ablations.py"
spec = importlib.util.spec_from_file_location("ablations", SCRIPT)
ablations = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ablations)
Outcome, markdown = ablations.Outcome, ablations.markdown
read_plan, run_rows = ablations.read_plan, ablations.run_rows

RECIPE = """
encoder = "TABLE"
image_size = 32
minimum_count = 1
embedding = 8
state = 16
multimodal = 24
cell = "relu"
tied = false
drop_image = 0.0
drop_word = 0.0
drop_multimodal = 0.0
label_smoothing = 0.0
l2 = 1e-6
learning_rate = 2e-2
warmup = 0.1
batch = 6
clip = 5
epochs = 30
average = 0.0
beam = 3
length_penalty = 1
"""

ROWS = """
recipe = "RECIPE"
seeds = [1, 2]

[rows."whole"]

[rows."no picture"]
image = false
calibrate = true
"""


@pytest.fixture
def data(tmp_path):
    return dataset.write(tmp_path / "set", train=12, dev=6, test=2)


@pytest.fixture
def recipe(data, tmp_path):
    """A file of a recipe over features that name the colour, and nothing else."""
    table = dataset.write_table(data, tmp_path / "table.npz")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace("TABLE", str(table)))
    return path


@pytest.fixture
def plan(recipe, tmp_path):
    path = tmp_path / "rows.toml"
    path.write_text(ROWS.replace("RECIPE", str(recipe)))
    return read_plan(path)


def test_every_row_is_run_from_every_seed_and_the_picture_is_worth_its_bits(plan, data, tmp_path):
    out = tmp_path / "runs"
    found = list(run_rows(plan, data, out, cache=tmp_path))
    assert [(each.row, each.seed) for each in found] == [
        ("whole", 1), ("whole", 2), ("no picture", 1), ("no picture", 2),
    ]  # fmt: skip
    # Without the picture a sentence is one of fifteen, five forms of three colours: log2(15) bits
    # over 23 words and end signs divided by five. No network can be below it.
    least = 2 ** (5 * np.log2(15) / 23)
    for whole, base in zip(found[:2], found[2:], strict=True):
        assert whole.cider > base.cider
        assert base.perplexity > max(least, 1.1 * whole.perplexity)
    facts = json.loads((out / "no picture" / "seed1" / "run.json").read_text())
    assert (facts["seed"], facts["recipe"]["image"]) == (1, False)
    assert found[2].perplexity == facts["calibration"]["after"]["perplexity"]


def test_what_is_finished_is_not_run_again_and_what_was_stopped_goes_on(plan, data, tmp_path):
    out = tmp_path / "runs"
    prepared = prepare(plan.rows["whole"], data, cache=tmp_path)
    run = training.plan(plan.rows["whole"], data, seed=2)
    stopped = train(run, prepared, out / "whole" / "seed2", stop=lambda: True)
    assert list(stopped) == []
    first = list(run_rows(plan, data, out, cache=tmp_path))
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.is_file()}
    # Only what has not ended needs the pictures.
    (tmp_path / "table.npz").unlink()
    assert list(run_rows(plan, data, out, cache=tmp_path)) == first
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_without_the_picture_all_pictures_have_one_vector_that_is_learnt(plan, data, tmp_path):
    recipe = dataclasses.replace(plan.rows["no picture"], epochs=2)
    prepared = prepare(recipe, data, cache=tmp_path)
    list(train(training.plan(recipe, data), prepared, tmp_path / "run"))
    weights = load_file(tmp_path / "run" / "best.safetensors")
    assert not weights["image_to_multimodal.weight"].any()
    assert weights["image_to_multimodal.bias"].any()
    torch.testing.assert_close(
        weights["feature_mean"], torch.full((3,), 1 / 3), rtol=1e-5, atol=1e-6
    )


def test_a_folder_of_another_recipe_is_left_alone(plan, data, tmp_path):
    out = tmp_path / "runs"
    rows = {"whole": dataclasses.replace(plan.rows["whole"], epochs=1)}
    list(run_rows(dataclasses.replace(plan, rows=rows), data, out, cache=tmp_path))
    with pytest.raises(OptionError, match="whole/seed1 holds a run of another recipe"):
        list(run_rows(plan, data, out, cache=tmp_path))


def test_the_table_has_the_mean_and_the_spread_of_each_row():
    def outcome(row, seed, perplexity, cider):
        return Outcome(row=row, seed=seed, perplexity=perplexity, cider=cider)

    found = [outcome("a", 1, 15.0, 0.5), outcome("a", 2, 16.0, 0.6), outcome("b", 1, 20.0, 0.4)]
    spread = statistics.stdev([15.0, 16.0]), statistics.stdev([0.5, 0.6])
    assert markdown(found).splitlines() == [
        "| row | seeds | dev perplexity | dev CIDEr |",
        "| --- | --- | --- | --- |",
        f"| a | 2 | 15.50 ± {spread[0]:.2f} | 0.5500 ± {spread[1]:.4f} |",
        "| b | 1 | 20.00 | 0.4000 |",
    ]


def test_a_table_of_a_recipe_is_changed_key_by_key(tmp_path):
    path = tmp_path / "rows.toml"
    path.write_text(
        'recipe = "m-rnn"\nseeds = [1]\n[rows.tuned]\nrecipe = "flickr8k"\nfinetune.epochs = 6\n'
    )
    (recipe,) = read_plan(path).rows.values()
    assert (recipe.finetune.epochs, recipe.finetune.images, recipe.cell) == (6, 24, "gru")


def test_a_base_may_lie_beside_the_rows(tmp_path, monkeypatch):
    (tmp_path / "rows").mkdir()
    text = (Path(str(resources.files("mrnn_edge_train"))) / "recipes" / "m-rnn.toml").read_text()
    (tmp_path / "rows" / "base.toml").write_text(text.replace("epochs = 10", "epochs = 3"))
    path = tmp_path / "rows" / "rows.toml"
    path.write_text('recipe = "base.toml"\nseeds = [1]\n[rows.a]\nbatch = 7\n')
    monkeypatch.chdir(tmp_path)
    (recipe,) = read_plan(path).rows.values()
    assert (recipe.epochs, recipe.batch) == (3, 7)
    # A file never stands for a recipe with a name.
    (tmp_path / "rows" / "m-rnn").write_text("epochs = 3")
    path.write_text('recipe = "m-rnn"\nseeds = [1]\n[rows.a]\n')
    (recipe,) = read_plan(path).rows.values()
    assert recipe == read_recipe("m-rnn")


def test_the_rows_that_come_with_the_benchmark_are_sound(root):
    paper = read_plan(root / "benchmarks" / "paper.toml")
    assert len(paper.seeds) == 3
    assert not paper.rows["m-rnn-base"].image
    assert paper.rows["m-rnn"].epochs == paper.rows["m-rnn-base"].epochs
    steps = read_plan(root / "benchmarks" / "ablations.toml")
    assert {row.epochs for row in steps.rows.values()} == {8}, "rows of one length alone compare"
    shown = read_plan(root / "benchmarks" / "augmentation.toml")
    assert {row.all_epochs for row in shown.rows.values()} == {8}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe =", "cannot be read as TOML"),
        ("speed = 1", "unknown key speed"),
        ("seeds = [1]\n[rows.a]", "recipe is None"),
        ('recipe = "m-rnn"\nseeds = []\n[rows.a]', r"seeds is \[\]"),
        ('recipe = "m-rnn"\nseeds = [1, 1]\n[rows.a]', r"seeds is \[1, 1\]"),
        ('recipe = "m-rnn"\nseeds = [true]\n[rows.a]', r"seeds is \[True\]"),
        ('recipe = "m-rnn"\nseeds = [1]', "rows is None"),
        ('recipe = "m-rnn"\nseeds = [1]\n[rows."../a"]', "not a folder name"),
        ('recipe = "m-rnn"\nseeds = [1]\n[rows]\na = 1', "row a: is 1"),
        ('recipe = "m-rnn"\nseeds = [1]\n[rows.a]\nspeed = 1', "row a: unknown key speed"),
        ('recipe = "m-rnn"\nseeds = [1]\n[rows.a]\nepochs = 0', "epochs is 0"),
    ],
)
def test_a_wrong_file_of_rows_is_refused_with_the_reason(tmp_path, text, message):
    path = tmp_path / "rows.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=message):
        read_plan(path)
