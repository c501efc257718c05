"""Processes under torchrun, over gloo, train what one does with all of their batches in one."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import dataset
import pytest
import torch
from safetensors.torch import load_file
from training import plan

from mrnn_edge.errors import OptionError
from mrnn_edge_train import distributed
from mrnn_edge_train.loop import resume, train
from mrnn_edge_train.prepare import prepare

SCRIPT = Path(__file__).with_name("several_processes.py")


def torchrun(processes, *arguments):
    process = subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes),
            "--standalone", "--local-addr", "127.0.0.1", *map(str, arguments),
        ],
        # Threads are a pool of each process: two pools on two cores would wait for each other.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        _, said = process.communicate(timeout=150)
    finally:
        # Its processes too, which outlive it where it is killed.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def rows(folder):
    return [json.loads(line) for line in (folder / "log.ndjson").read_text().splitlines()]


@pytest.fixture
def plain(two_stages):
    """No dropout: the processes would drop other units than the one."""
    return dataclasses.replace(two_stages, drop_image=0.0, drop_word=0.0, drop_multimodal=0.0)


def batches_of(recipe, sentences, pictures):
    finetune = dataclasses.replace(recipe.finetune, images=pictures)
    return dataclasses.replace(recipe, batch=sentences, finetune=finetune)


@pytest.mark.parametrize(
    ("processes", "pictures", "sentences", "images"),
    [
        (2, 12, 6, 3),  # 60 sentences in batches of 12, 12 pictures in batches of 6
        (3, 13, 7, 4),  # the last batches, of 2 sentences and 1 picture, are not enough for all
    ],
)
def test_processes_stopped_and_resumed_have_the_curve_of_one_with_all_their_batches_in_one(
    plain, tmp_path, processes, pictures, sentences, images
):
    data = dataset.write(tmp_path / "set", train=pictures, dev=6, test=2)
    recipe = batches_of(plain, sentences, images)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    # Four or five steps an epoch of the first stage; stopped in the second epoch.
    code, said = torchrun(processes, SCRIPT, tmp_path, 7)
    assert code == 0, said
    assert len((tmp_path / "log when stopped").read_text().splitlines()) == 1

    larger = batches_of(plain, processes * sentences, processes * images)
    prepared = prepare(larger, data, cache=tmp_path / "cache")
    list(train(plan(larger, data), prepared, tmp_path / "one"))
    one, several = rows(tmp_path / "one"), rows(tmp_path / "several")
    assert [(row["stage"], row["epoch"]) for row in several] == [
        ("features", 1), ("features", 2), ("finetune", 1), ("finetune", 2),
    ]  # fmt: skip
    for key in ("train_bits", "dev_perplexity", "dev_cider"):
        expected = [row[key] for row in one]
        assert [row[key] for row in several] == pytest.approx(expected, rel=1e-5), key
    weights = [load_file(tmp_path / name / "checkpoint.safetensors") for name in ("one", "several")]
    for name, tensor in weights[0].items():
        if name.startswith("network."):
            torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-5)

    facts = json.loads((tmp_path / "several" / "run.json").read_text())
    assert facts["processes"] == processes
    with pytest.raises(OptionError, match=f"torchrun --nproc-per-node {processes}"):
        list(resume(prepared, tmp_path / "several"))


def test_a_process_alone_is_the_first_of_one_and_nothing_is_done_to_it():
    network = torch.nn.Linear(2, 2)
    assert (distributed.size(), distributed.rank(), distributed.is_first()) == (1, 0, True)
    assert distributed.parallel(network) is network
    own = distributed.share(3)
    assert [1, 2, 3][own.items] == [1, 2, 3]
    assert own.weight([4, 7, 5]) == 1.0
    assert [distributed.any_of(wish) for wish in (False, True)] == [False, True]


@pytest.mark.parametrize("processes", [2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_shares_make_the_mean_over_the_words_of_every_item_once(monkeypatch, processes, count):
    monkeypatch.setattr(distributed, "size", lambda: processes)
    # Bits of each item's words.
    bits = [[float(item + word) ** 2 for word in range(3 + item % 4)] for item in range(count)]
    words = [len(each) for each in bits]
    means, seen = [], []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        own = distributed.share(count)
        computed = [each for item in bits[own.items] for each in item]
        means.append(own.weight(words) * sum(computed) / len(computed))
        seen += [] if own.stands_in else list(range(count))[own.items]
    every = [each for item in bits for each in item]
    assert sum(means) / processes == pytest.approx(sum(every) / len(every), rel=1e-12)
    assert sorted(seen) == list(range(count))


def test_the_last_stage_is_for_one_process(three_stages, tmp_path, monkeypatch):
    data = dataset.write(tmp_path / "set", train=3, dev=1, test=1)
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with pytest.raises(OptionError, match="one process"):
        prepare(three_stages, data, cache=tmp_path)
