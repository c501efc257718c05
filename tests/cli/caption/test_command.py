"""`mrnn-edge caption` as a process: what it prints where, and how it ends."""

import json
import os
import subprocess
import sys

import pytest
import tiny
from conftest import noise_picture


@pytest.fixture
def model(tmp_path):
    return tiny.write(tmp_path / "model")


def test_one_picture_gives_its_caption_alone(command, model, picture, captioner):
    done = command("caption", picture, "--model", model)
    assert (done.returncode, done.stdout) == (0, captioner.caption(picture).text + "\n")
    assert done.stderr == "mrnn-edge: device cpu\n"


def test_quiet_and_a_named_device_say_nothing_on_stderr(command, model, picture):
    for extra in (["--quiet"], ["--device", "cpu"]):
        assert command("caption", picture, "--model", model, *extra).stderr == ""


def test_more_pictures_give_path_and_caption_and_a_bad_one_stops_none(command, model, tmp_path):
    good = noise_picture(tmp_path / "good.jpg")
    (tmp_path / "text.jpg").write_text("no picture at all")
    truncated = tmp_path / "half.jpg"
    truncated.write_bytes(good.read_bytes()[:-200])
    (tmp_path / "folder").mkdir()
    done = command(
        "caption", "missing.jpg", "text.jpg", "half.jpg", "folder", good, "--model", model
    )
    assert done.returncode == 3
    assert done.stdout.startswith(f"{good}\t")
    assert done.stdout.count("\n") == 1
    _, *errors, summary = done.stderr.splitlines()
    assert summary.startswith("mrnn-edge: 1 of 5 pictures captioned, 4 failed, ")
    assert len(errors) == 4
    for line, (name, message) in zip(
        errors,
        [
            ("missing.jpg", "no such file; check the path"),
            ("text.jpg", "looks like text; expected a picture"),
            ("half.jpg", "truncated or damaged picture"),
            ("folder", "is a folder, expected a picture; `caption -r` takes folders"),
        ],
        strict=True,
    ):
        assert line.startswith(f"mrnn-edge: {name}: ")
        assert message in line


def test_a_dash_is_the_picture_on_standard_input(command, model, picture, captioner):
    done = command("caption", "-", "--model", model, stdin=picture)
    assert (done.returncode, done.stdout) == (0, captioner.caption(picture).text + "\n")
    done = command("caption", "-", "--model", model)
    assert done.returncode == 3
    assert "is empty" in done.stderr


def test_a_folder_with_r_gives_its_pictures_in_order(command, model, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("b.png", "a.png"):
        noise_picture(tmp_path / "photos" / name)
    done = command("caption", "-r", "photos", "--model", model)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [
        "photos/a.png",
        "photos/b.png",
    ]


def test_a_folder_without_pictures_is_a_usage_error_alone_and_stops_no_other(
    command, model, picture, tmp_path
):
    (tmp_path / "empty").mkdir()
    done = command("caption", "-r", "empty", "--model", model)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no picture in empty" in done.stderr
    done = command("caption", "-r", "empty", picture, "--model", model)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)


def test_a_path_keeps_to_its_line_and_column(command, model, tmp_path):
    noise_picture(tmp_path / "new\nline.png")
    noise_picture(tmp_path / "tab\there.png")
    done = command("caption", "new\nline.png", "tab\there.png", "--model", model)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["new\\nline.png", "tab\\there.png"]
    assert [len(line) for line in lines] == [2, 2]


def test_a_closed_or_full_stderr_costs_no_caption_and_spoils_no_output(model, picture):
    base = " ".join([sys.executable, "-m", "mrnn_edge_cli", "caption", str(picture), "--json"])
    for closing in ("2>&-", "2>/dev/full"):
        done = subprocess.run(
            f"{base} --model {model} {closing}", shell=True, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0
        assert len(json.loads(done.stdout)) == 1


def test_json_is_one_array_of_records_of_the_contract(command, model, picture):
    done = command(
        "caption", picture, "nothing.jpg", "--json", "--nbest", 3, "--max-words", 5,
        "--beam", 2, "--no-repeat-ngram", 0, "--model", model,
    )  # fmt: skip
    assert done.returncode == 3
    good, bad = json.loads(done.stdout)
    assert list(good) == [
        "file", "caption", "truncated", "confidence", "evidence", "log2_prob", "perplexity",
        "words", "alternatives", "model", "device", "precision", "timing_ms",
    ]  # fmt: skip
    assert good["truncated"] is (len(good["words"]) == 5) is True
    assert good["file"] == str(picture)
    assert 0.0 < good["confidence"] < 1.0
    assert isinstance(good["evidence"], float)
    assert [word["word"] for word in good["words"]] == good["caption"].split()
    assert set(good["words"][0]) == {"word", "prob", "grounding"}
    assert len(good["alternatives"]) == 3
    assert (good["model"], good["device"], good["precision"]) == ("tiny-test", "cpu", "float32")
    assert set(good["timing_ms"]) == {"decode", "encode", "generate", "total"}
    assert bad == {"file": "nothing.jpg", "error": bad["error"]}
    assert bad["error"]["type"] == "FileError"


def test_a_damaged_model_ends_with_4_before_any_picture(command, model, picture):
    path = model / "step.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = command("caption", picture, "--model", model)
    assert (done.returncode, done.stdout) == (4, "")
    assert len(done.stderr.splitlines()) == 1
    assert "sha256" in done.stderr
    assert "copy the folder again" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "no-such"], 4, "neither a model name nor a folder"),
        (["--device", "cuda"], 5, "use --device cpu"),
        (["--device", "tpu"], 2, "expected auto, cpu, cuda"),
        (["--precision", "int8"], 2, "has no int8 graphs"),
        (["--length-penalty", "nan"], 2, "length_penalty is nan"),
        (["--beam", "0"], 2, "beam"),
        (["--no-such-option"], 2, "no-such-option"),
    ],
)
def test_a_wrong_call_is_one_clear_message_and_its_code(
    command, model, picture, arguments, code, message
):
    model_option = [] if "--model" in arguments else ["--model", model]
    done = command("caption", picture, *model_option, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def caption_command(model, picture):
    base = [sys.executable, "-m", "mrnn_edge_cli", "caption"]
    return [*base, str(picture), "--model", str(model), "--quiet"]


def test_a_full_disk_ends_with_1_and_one_line(model, picture):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            caption_command(model, picture), stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_gone_ends_with_141_without_a_word(model, picture):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        caption_command(model, picture), stdout=writing, stderr=subprocess.PIPE, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_names_that_stdout_cannot_encode_are_escaped(command, model, tmp_path):
    noise_picture(tmp_path / "né.png")
    noise_picture(tmp_path / "b.png")
    done = command(
        "caption", "né.png", "b.png", "--model", model, env={"PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 0
    assert done.stdout.startswith("n\\xe9.png\t")


def test_wishes_for_words_reach_the_search(command, model, picture, captioner):
    done = command(
        "caption", picture, "--model", model, "--quiet", "--prefix", "A dark zebra", "--forbid",
        "dog", "--forbid", "red", "--require", "sky", "--no-repeat-ngram", 2, "--max-words", 9,
    )  # fmt: skip
    expected = captioner.caption(
        picture,
        prefix="a dark zebra",
        forbid=["dog", "red"],
        require=["sky"],
        no_repeat_ngram=2,
        max_words=9,
    )
    assert (done.returncode, done.stdout) == (0, expected.text + "\n")
    done = command("caption", picture, "--model", model, "--prefix", "a zebra", "--forbid", "yak")
    assert "not in the vocabulary: zebra, yak" in done.stderr


def test_a_draw_is_seeded_and_its_options_go_with_sample_alone(command, model, picture, captioner):
    from mrnn_edge import Sampling

    drawn = ["--sample", "--seed", 3, "--temperature", 1.5, "--top-k", 5, "--top-p", 0.9]
    done = command("caption", picture, "--model", model, "--quiet", *drawn)
    sampling = Sampling(seed=3, temperature=1.5, top_k=5, top_p=0.9)
    assert done.stdout == captioner.caption(picture, sampling=sampling).text + "\n"
    for lonely in (["--seed", 3], ["--temperature", 1.0], ["--top-k", 5], ["--top-p", 0.5]):
        done = command("caption", picture, "--model", model, *lonely)
        assert done.returncode == 2
        assert f"{lonely[0]} goes with --sample" in done.stderr
    for both in (["--beam", 3], ["--beam", 1], ["--nbest", 2], ["--require", "dog"]):
        done = command("caption", picture, "--model", model, "--sample", *both)
        assert done.returncode == 2
        assert "sampling draws one sentence" in done.stderr


def test_a_required_word_is_known_or_a_usage_error_and_placed_or_an_error_record(
    command, model, picture
):
    done = command("caption", picture, "--model", model, "--require", "zebra")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the vocabulary lacks zebra" in done.stderr
    wishes = ["--require", "dog", "--require", "sky", "--max-words", 1, "--json"]
    done = command("caption", picture, "--model", model, *wishes)
    assert done.returncode == 3
    (record,) = json.loads(done.stdout)
    assert record["error"]["type"] == "ConstraintError"
