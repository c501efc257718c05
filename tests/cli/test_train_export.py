"""`train`, `export`, `eval` and `verify` one after the other, as processes, on a generated set."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import dataset
import pytest

from mrnn_edge_train.checkpoint import read_checkpoint

RECIPE = """
encoder = "efficientnet-lite0"
image_size = 64
minimum_count = 1
embedding = 8
state = 16
multimodal = 24
cell = "gru"
tied = true
drop_image = 0.0
drop_word = 0.0
drop_multimodal = 0.0
label_smoothing = 0.0
l2 = 0.0
learning_rate = 1e-2
warmup = 0.1
batch = 10
clip = 5
epochs = 3
average = 0.5
beam = 5
length_penalty = 1
"""


FINETUNE = """
[finetune]
epochs = 400
images = 6
crop_size = 64
smallest_crop = 0.75
frozen = 0.25
cnn_rate = 1e-5
learning_rate = 1e-3
weight_decay = 0.01
warmup = 0.1
label_smoothing = 0.1
clip = 5
average = 0.5
bfloat16 = true
"""
COMMAND = """
import signal
# A background job inherits ignored signals; the test is of one in the foreground.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from mrnn_edge_cli import main
main()
"""


@pytest.mark.parametrize(
    ("wish", "bfloat16"),
    # Once is enough in bfloat16: where a processor has none, PyTorch emulates it slowly.
    [(signal.SIGINT, "true"), (signal.SIGTERM, "false"), (signal.SIGHUP, "false")],
)
def test_a_wish_to_end_finishes_the_step_saves_and_resume_goes_on(
    command, tmp_path, wish, bfloat16
):
    data = dataset.write(tmp_path / "set", train=24, dev=6, test=2, side=64)
    finetune = FINETUNE.replace("bfloat16 = true", f"bfloat16 = {bfloat16}")
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("epochs = 3", "epochs = 1") + finetune)
    run, log = tmp_path / "run", tmp_path / "run" / "log.ndjson"
    process = subprocess.Popen(
        [
            sys.executable, "-c", COMMAND, "train", "--data", data, "--out", run,
            "--recipe", tmp_path / "recipe.toml", "--cache", tmp_path / "cache", "--threads", "1",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch   1 ")
        assert process.stdout.readline().startswith("finetune   1 ")
        process.send_signal(wish)
        _, said = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 128 + wish
    assert f"mrnn-edge train --resume {run}" in said
    assert "Traceback" not in said
    done = len(log.read_text().splitlines())

    # Let it end: the rest of the recipe is shortened by hand.
    facts = json.loads((run / "run.json").read_text())
    facts["recipe"]["finetune"]["epochs"] = done
    (run / "run.json").write_text(json.dumps(facts))
    again = command("train", "--resume", run, "--cache", tmp_path / "cache", "--threads", 1)
    assert again.returncode == 0, again.stderr
    assert [line.split()[:2] for line in again.stdout.splitlines()] == [["finetune", str(done)]]


def test_what_does_not_go_with_resume_and_what_is_missing_is_a_usage_error(command, tmp_path):
    both = command("train", "--resume", tmp_path / "run", "--seed", 2)
    assert both.returncode == 2
    assert "leave them out" in both.stderr
    nowhere = command("train", "--data", tmp_path)
    assert nowhere.returncode == 2
    assert "--out" in nowhere.stderr


def test_ctrl_c_at_torchrun_saves_once_although_it_comes_twice(tmp_path):
    data = dataset.write(tmp_path / "set", train=24, dev=6, test=2, side=64)
    # 400 epochs of small steps: nobody waits for their end.
    recipe = RECIPE.replace("epochs = 3", "epochs = 400")
    (tmp_path / "recipe.toml").write_text(recipe)
    (tmp_path / "command.py").write_text(COMMAND)
    run = tmp_path / "run"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--standalone", "--local-addr", "127.0.0.1", tmp_path / "command.py",
            "train", "--data", data, "--out", run, "--recipe", tmp_path / "recipe.toml",
            "--cache", tmp_path / "cache", "--threads", "1",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch   1 ")
        # As a terminal does: torchrun and both processes get it, and torchrun passes it on.
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=100)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert said.count("finishing the step") == 1
    assert "again to stop" not in said
    assert said.count(f"continue with: mrnn-edge train --resume {run}") == 1
    progress = read_checkpoint(run).progress
    lines = (run / "log.ndjson").read_text().splitlines()
    assert progress.epoch == len(lines) + 1
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


def test_a_data_set_becomes_a_model_that_verifies_and_its_broken_picture_is_named(
    command, tmp_path
):
    data = dataset.write(tmp_path / "set", train=100, dev=6, test=2, side=64)
    # The third of eight that are calibrated on.
    (data / "images" / "train25.png").write_bytes(b"no picture")
    named = "mrnn-edge: 1 training picture cannot be read, left out: train25.png\n"
    (tmp_path / "recipe.toml").write_text(RECIPE)
    done = command(
        "train", "--data", data, "--out", "run", "--recipe", "recipe.toml", "--epochs", 2,
        "--seed", 3, "--cache", "cache", "--threads", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1"], ["epoch", "2"]]
    assert "train: 100 pictures, 500 sentences" in done.stderr
    assert named in done.stderr
    assert "test: 2 pictures, 10 sentences" in done.stderr
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (facts["recipe"]["epochs"], facts["seed"]) == (2, 3)
    log = (tmp_path / "run" / "log.ndjson").read_text()
    logged = [json.loads(line) for line in log.splitlines()]
    for line, figures in zip(lines, logged, strict=True):
        assert f"dev CIDEr {figures['dev_cider']:.4f}" in line
        assert f"dev perplexity {figures['dev_perplexity']:.2f}" in line

    done = command("train", "--data", data, "--out", "run", "--recipe", "recipe.toml")
    assert done.returncode == 2
    assert "not empty" in done.stderr

    weights = (tmp_path / "run" / "best.safetensors").read_bytes()
    for checkpoint in (tmp_path / "run").glob("checkpoint*"):
        checkpoint.unlink()  # nobody needs them now
    done = command("train", "--resume", "run", "--cache", "cache", "--threads", 1)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "mrnn-edge: run is complete, nothing is left to train\n"
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == weights

    done = command("export", "run", "-o", "model", "--trained-on", "walls", "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert "captions: 6 of 6 equal word for word" in done.stdout
    assert named in done.stderr

    # The recipe's beam is 5, the command's default 3: the reference is decoded as it was made.
    done = command("verify", "model")
    assert done.returncode == 0, done.stdout
    assert command("verify", "--model", "model", "--quiet").stdout == done.stdout
    assert command("caption", data / "images" / "test0.png", "--model", "model").stdout.strip()

    # A CNN of three epochs' training on six pictures says little: any loss will do.
    done = command("quantize", "model", "--data", data, "--calibrate", 8, "--max-drop", 10)
    assert done.returncode == 0, done.stderr
    assert "encoder: 13." in done.stdout
    assert "captions changed: " in done.stdout
    assert "default int8" in done.stdout
    assert named in done.stderr
    done = command("verify", "model")
    assert done.returncode == 0, done.stdout
    assert "int8: image vector against where it was made" in done.stdout
    again = command("quantize", "model", "--data", data)
    assert again.returncode == 2
    assert "has int8 graphs already" in again.stderr
    anew = ("quantize", "model", "--data", data, "--calibrate", 8, "--max-drop", 10, "--alone")
    assert command(*anew).returncode == 2
    assert command(*anew, "-o", "small").returncode == 0
    assert command("verify", "small").returncode == 0
    assert not list((tmp_path / "small").glob("encoder.onnx"))


@pytest.mark.parametrize(
    ("arguments", "missing", "extras"),
    [
        (["train", "--data", "x", "--out", "y"], "torch", "train"),
        (["export", "x", "-o", "y"], "onnxruntime", "cpu,train"),
        (["quantize", "x", "--data", "y"], "onnx", "cpu,train"),
        (["eval", "--data", "x"], "pycocoevalcap", "cpu,eval"),
    ],
)
def test_a_missing_extra_is_named_with_the_command_to_run(
    monkeypatch, capsys, arguments, missing, extras
):
    import importlib.util

    from mrnn_edge_cli import extras as extras_module
    from mrnn_edge_cli.app import run

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        extras_module, "find_spec", lambda name: None if name == missing else find_spec(name)
    )
    monkeypatch.setattr(sys, "argv", ["mrnn-edge", *arguments])
    assert run() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"not installed: {missing}; run: pip install 'mrnn-edge[{extras}]'" in said.err
