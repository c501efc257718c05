"""Two processes under torchrun, over gloo, train what one does with batches twice as large."""

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

from mrnn_edge.errors import OptionError
from mrnn_edge_train import distributed
from mrnn_edge_train.loop import prepare, resume, train

SCRIPT = Path(__file__).with_name("two_processes.py")


def torchrun(*arguments):
    process = subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
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
def halved(two_stages):
    """No dropout: the processes would drop other units than the one. 60 sentences, 12 pictures."""
    finetune = dataclasses.replace(two_stages.finetune, images=3)
    return dataclasses.replace(
        two_stages, drop_image=0.0, drop_word=0.0, drop_multimodal=0.0, batch=6, finetune=finetune
    )


def test_two_processes_stopped_and_resumed_have_the_curve_of_one_with_the_doubled_batch(
    halved, tmp_path
):
    data = dataset.write(tmp_path / "set", train=12, dev=6, test=2)
    (tmp_path / "recipe.json").write_text(json.dumps(halved.to_dict()))
    # Five steps an epoch of the first stage; stopped in the second epoch.
    code, said = torchrun(SCRIPT, tmp_path, 7)
    assert code == 0, said
    assert len((tmp_path / "log when stopped").read_text().splitlines()) == 1

    doubled = dataclasses.replace(
        halved, batch=12, finetune=dataclasses.replace(halved.finetune, images=6)
    )
    prepared = prepare(doubled, data, cache=tmp_path / "cache")
    list(train(doubled, prepared, tmp_path / "one", seed=1, source=str(data)))
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [(row["stage"], row["epoch"]) for row in two] == [
        ("features", 1), ("features", 2), ("finetune", 1), ("finetune", 2),
    ]  # fmt: skip
    for key in ("train_bits", "dev_perplexity", "dev_cider"):
        assert [row[key] for row in two] == pytest.approx([row[key] for row in one], rel=1e-5)
    weights = [load_file(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two")]
    for name, tensor in weights[0].items():
        if name.startswith("network."):
            torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-5)

    facts = json.loads((tmp_path / "two" / "run.json").read_text())
    assert facts["processes"] == 2
    with pytest.raises(OptionError, match="torchrun --nproc-per-node 2"):
        list(resume(prepared, tmp_path / "two"))


def test_a_process_alone_is_the_first_of_one_and_nothing_is_done_to_it():
    network = torch.nn.Linear(2, 2)
    assert (distributed.size(), distributed.rank(), distributed.is_first()) == (1, 0, True)
    assert distributed.parallel(network) is network
    assert [1, 2, 3][distributed.share(3)] == [1, 2, 3]
    assert distributed.weight(5) == 1.0
    assert [distributed.any_of(wish) for wish in (False, True)] == [False, True]


@pytest.mark.parametrize(("rank", "own"), [(0, [1, 3, 5]), (1, [2, 4])])
def test_shares_of_a_batch_are_every_item_once(monkeypatch, rank, own):
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    assert [1, 2, 3, 4, 5][distributed.share(5)] == own
    assert [7][distributed.share(1)] == [7]


def test_the_last_stage_is_for_one_process(three_stages, tmp_path, monkeypatch):
    data = dataset.write(tmp_path / "set", train=3, dev=1, test=1)
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with pytest.raises(OptionError, match="one process"):
        prepare(three_stages, data, cache=tmp_path)
