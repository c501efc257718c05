"""`train` on several sets, `export` and `caption`, as processes; the CNN at 64 pixels."""

import gzip
import json

import dataset
import numpy as np
from PIL import Image

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
epochs = 1
average = 0.5
beam = 3
length_penalty = 1
no_repeat_ngram = 2
classes = true

[mixed]
sentences = 0.5
sentence_batch = 4
names = 0.1
name_batch = 4
prototypes = 2
weak = 1
tuned_names = 2
remembered = 0.1

[finetune]
epochs = 1
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
bfloat16 = false

[self_critical]
epochs = 1
images = 8
samples = 2
cost_weight = 0.2
learning_rate = 1e-3
warmup = 0.1
label_smoothing = 0.0
clip = 5
average = 0.5
"""


def _everyday(folder):
    """A set in the form of everyday pictures: pairs, names, sentences."""
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(1)
    for number in range(8):
        pixels = random.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"e{number}.webp")
    with (folder / "captions.jsonl").open("w") as stream:
        for number in range(6):
            split = "train" if number < 4 else "dev"
            said = ["a cat on a wall", "a wall"]
            row = {"file": f"images/e{number}.webp", "captions": said, "split": split}
            stream.write(json.dumps(row) + "\n")
    with (folder / "named.jsonl").open("w") as stream:
        for number in (6, 7):
            row = {"file": f"images/e{number}.webp", "names": ["cat"], "source": "ade20k"}
            stream.write(json.dumps(row) + "\n")
    with gzip.open(folder / "sentences.tsv.gz", "wt") as stream:
        stream.write("x\ta cat sleeps on a wall\n" * 8)
    return folder


def test_several_sets_train_one_model_that_goes_on_and_is_exported(command, tmp_path):
    flickr = dataset.write(tmp_path / "set", train=12, dev=3, test=1, side=64)
    ours = _everyday(tmp_path / "everyday")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    done = command(
        "train", "--data", flickr, "--data", f"{ours}=2", "--data", ours / "named.jsonl",
        "--data", ours / "sentences.tsv.gz", "--out", "run", "--recipe", "recipe.toml",
        "--cache", "cache", "--threads", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("epoch   1 ")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["data"].split("\n")[1] == f"{ours}=2"
    assert facts["sizes"]["feature"] == 2280
    assert set(facts["best"]["dev_sets"]) == {"set", "everyday"}

    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "epoch", "finetune", "self-critical",
    ]  # fmt: skip

    facts["recipe"]["self_critical"]["epochs"] = 2
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    again = command("train", "--resume", "run", "--cache", "cache", "--threads", 1)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("self-critical   2 ")

    exported = command("export", "run", "-o", "model", "--threads", 1)
    assert exported.returncode == 0, exported.stderr
    assert "captions: 5 of 5 equal word for word" in exported.stdout
    said = command("caption", ours / "images" / "e0.webp", "--model", "model")
    assert said.returncode == 0, said.stderr
