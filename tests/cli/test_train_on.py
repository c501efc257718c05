"""What `train --from` and `--teach` refuse before anything is computed."""

import json

import dataset
import pytest

from mrnn_edge_train.recipe import read_recipe


@pytest.fixture
def lesson(tmp_path):
    (tmp_path / "captions.csv").write_text("file,caption\na.png,a zebra\nb.png,a zebra runs\n")
    return ["--images", tmp_path, "--captions", tmp_path / "captions.csv"]


def test_options_that_do_not_go_together_are_named(command, bundle, lesson, tmp_path):
    out = ["--out", tmp_path / "new"]
    for arguments, said in (
        (["--teach", "zebra", *lesson], "give --images, --captions and --out"),
        (["--teach", "zebra", *lesson, *out, "--data", "x"], "--data"),
        (["--teach", "zebra", *lesson, *out, "--recipe", "x"], "--recipe"),
        (
            ["--teach", "zebra", *lesson, *out, "--epochs", "2"],
            "--epochs: only for training without",
        ),
        (["--teach", "zebra", *lesson, *out, "--device", "cpu"], "--device"),
        (["--data", "x", *out, "--device", "gpu"], "expected cpu, cuda or cuda:N"),
        (["--from", bundle, *out], "give one --data, and --out, with --from"),
        (["--from", bundle, *out, "--data", "x", "--resume", "x"], "--resume"),
        (["--data", "x", *out, "--captions", "x"], "--captions"),
    ):
        done = command("train", *arguments)
        assert done.returncode == 2
        assert said in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_lesson_is_checked_before_it_is_learnt(command, bundle, lesson, tmp_path):
    def teach(word):
        return command(
            "train", "--from", bundle, "--teach", word, *lesson, "--out", tmp_path / "new"
        )

    assert "knows 'dog' already" in teach("dog").stderr
    assert "0 of 2 pictures have 'okapi'" in teach("okapi").stderr
    missing = teach("zebra")
    words = " ".join(missing.stderr.split())
    assert f"missing pictures in {lesson[1]}: a.png, b.png" in words
    assert missing.returncode == 2
    (tmp_path / "captions.csv").write_text("file,caption\na.png\n")
    assert "line 2" in teach("zebra").stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_picture_that_cannot_be_decoded_is_named_whatever_its_split(
    command, bundle, tmp_path, split
):
    data = dataset.write(tmp_path / "set", train=4, dev=2, test=2)
    (data / "images" / f"{split}1.png").write_bytes(b"no picture")
    done = command("train", "--from", bundle, "--data", data, "--out", tmp_path / "new")
    assert done.returncode == 2
    assert f"{split}1.png" in done.stderr
    assert "1 of 8 pictures cannot be read" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_folder_that_exists_is_kept(command, bundle, lesson):
    before = (bundle / "config.json").read_bytes()
    done = command("train", "--teach", "zebra", *lesson, "--out", bundle)
    assert done.returncode != 0
    assert "exists already" in done.stderr
    assert (bundle / "config.json").read_bytes() == before


def test_a_run_that_cannot_go_on_is_told_before_its_data_set_is_looked_at(command, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    facts = {"recipe": read_recipe("m-rnn").to_dict(), "seed": 1, "data": "nowhere"}
    (run / "run.json").write_text(json.dumps(facts))
    done = command("train", "--resume", run)
    assert "checkpoint.safetensors: cannot be read as a checkpoint" in done.stderr
    (run / "run.json").write_text(json.dumps({**facts, "processes": 2}))
    done = command("train", "--resume", run)
    assert done.returncode == 2
    assert "is trained by 2 processes" in done.stderr


def test_training_on_a_gpu_that_is_not_there_ends_with_5(command, tmp_path):
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    done = command(
        "train", "--data", "x", "--out", tmp_path / "new", "--device", "cuda", env=hidden
    )
    assert done.returncode == 5
    assert "train with --device cpu" in done.stderr
    assert not (tmp_path / "new").exists()
