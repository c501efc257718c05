"""`train`, `export`, `eval` and `verify` one after the other, as processes, on a generated set."""

import json
import sys

import dataset
import pytest

RECIPE = """
encoder = "efficientnet-lite0"
image_size = 64
minimum_count = 1
embedding = 8
state = 16
multimodal = 24
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
beam = 5
length_penalty = 1
"""


def test_a_data_set_becomes_a_model_that_verifies(command, tmp_path):
    data = dataset.write(tmp_path / "set", train=24, dev=6, test=2, side=64)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    done = command(
        "train", "--data", data, "--out", "run", "--recipe", "recipe.toml", "--epochs", 2,
        "--seed", 3, "--cache", "cache", "--threads", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1"], ["epoch", "2"]]
    assert "24 pictures to train, 6 for dev" in done.stderr
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

    done = command("export", "run", "-o", "model", "--trained-on", "walls", "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert "captions: 6 of 6 equal word for word" in done.stdout

    # The recipe's beam is 5, the command's default 3: the reference is decoded as it was made.
    done = command("verify", "model")
    assert done.returncode == 0, done.stdout
    assert command("verify", "--model", "model", "--quiet").stdout == done.stdout
    assert command("caption", data / "images" / "test0.png", "--model", "model").stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "missing", "extras"),
    [
        (["train", "--data", "x", "--out", "y"], "torch", "train"),
        (["export", "x", "-o", "y"], "onnxruntime", "cpu,train"),
        (["eval", "--data", "x"], "pycocoevalcap", "cpu,eval"),
    ],
)
def test_a_missing_extra_is_named_with_the_command_to_run(
    monkeypatch, capsys, arguments, missing, extras
):
    import importlib.util

    from mrnn_edge_cli import extras as extras_module
    from mrnn_edge_cli import main

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        extras_module, "find_spec", lambda name: None if name == missing else find_spec(name)
    )
    monkeypatch.setattr(sys, "argv", ["mrnn-edge", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"not installed: {missing}; run: pip install 'mrnn-edge[{extras}]'" in said.err
