"""`info`, `verify`, `eval` and the frame of the command."""

import json

import dataset
import tiny
from conftest import noise_picture
from fake_cuda import fake_runtime

from mrnn_edge import __version__
from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge_cli.app import run
from mrnn_edge_cli.failures import _CODES, ExitCode, exit_code


def without_card(model):
    """A model that --save writes a card for: it would not replace one that was edited."""
    (model / "README.md").unlink()
    return model


def test_version_is_the_packages(command):
    assert command("--version").stdout == f"mrnn-edge {__version__}\n"


def test_no_arguments_give_the_help_and_it_tells_the_exit_codes(command):
    done = command()
    assert "caption" in done.stdout + done.stderr
    text = " ".join(command("--help").stdout.split())
    for code in ("2 usage", "3 some inputs failed", "4 model", "5 device", "141"):
        assert code in text


def test_every_branch_of_the_error_tree_has_its_exit_code():
    expected = {
        "OptionError": 2, "MissingExtraError": 2, "DatasetError": 2, "IndexFileError": 2,
        "BenchRecordError": 2,
        "TrainingError": 1, "InputError": 3, "SidecarError": 3, "ModelError": 4, "DeviceError": 5,
        "CameraError": 6,
    }  # fmt: skip
    assert {cls.__name__ for cls in MrnnEdgeError.__subclasses__()} == set(expected)
    assert {kind.__name__: int(code) for kind, code in _CODES} == expected
    assert exit_code(MrnnEdgeError("anything else")) is ExitCode.INTERNAL


def test_info_tells_name_id_sizes_and_licences(command, tmp_path):
    model = without_card(tiny.write(tmp_path / "model"))
    facts = json.loads(command("info", "--model", model, "--json").stdout)
    assert (facts["model"], facts["id"]) == ("tiny-test", tiny.ID)
    assert facts["sizes"] == {"vocabulary": 12, "image": 6, "state": 4}
    assert facts["licence"]["weights"] == "Apache-2.0, random numbers"
    text = command("info", "--model", model).stdout
    assert "model: tiny-test" in text
    assert "weights: Apache-2.0, random numbers" in text


def test_verify_passes_a_sound_model_and_fails_another_with_4(command, tmp_path, captioner):
    metrics = {"parity": {"reference": tiny.reference(captioner)}}
    sound = tiny.write(tmp_path / "sound", tiny.files(metrics=metrics))
    done = command("verify", sound)
    assert done.returncode == 0
    assert all(line.startswith("ok ") for line in done.stdout.splitlines())
    metrics["parity"]["reference"]["caption"] = "something else"
    other = tiny.write(tmp_path / "other", tiny.files(metrics=metrics))
    done = command("verify", other)
    assert done.returncode == 4
    assert "FAILED  float32: caption" in done.stdout


def test_eval_prints_the_fields_of_the_contract(command, tmp_path):
    data = dataset.write(tmp_path / "set", train=4, dev=3, test=2)
    model = without_card(tiny.write(tmp_path / "model"))
    captions = tmp_path / "captions.tsv"
    done = command(
        "eval", "--data", data, "--split", "test", "--model", model, "--json", "--quiet",
        "--captions", captions, "--save",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["split"] == "test"
    assert record["images"] == 2
    assert len(record["bleu"]) == 4
    assert record["perplexity"] > 1
    assert {"cider", "rouge_l", "novel", "vocabulary_used", "vocabulary", "beam"} <= set(record)
    assert len(captions.read_text().splitlines()) == 2
    saved = json.loads((model / "metrics.json").read_text())["eval"]
    saved = saved["set test float32, no-repeat 2"]
    assert saved["cider"] == record["cider"]
    card = (model / "README.md").read_text()
    assert f"| {record['perplexity']:.2f} |" in card
    shares = " | ".join(f"{share:.3f}" for share in record["distinct"])
    assert f"| {record['vocabulary_used']} | {shares} | {record['mean_words']:.1f} |" in card
    assert saved["command"] in card


def test_eval_measures_captions_without_repetition_and_says_so(command, tmp_path):
    data = dataset.write(tmp_path / "set", train=4, dev=3, test=2)
    model = without_card(tiny.write(tmp_path / "model"))
    captions = tmp_path / "captions.tsv"
    wishes = ("eval", "--data", data, "--model", model, "--json", "--quiet", "--force")

    def repeated(*more):
        done = command(*wishes, "--captions", captions, *more)
        assert done.returncode == 0, done.stderr
        said = [line.split("\t")[1].split() for line in captions.read_text().splitlines()]
        return json.loads(done.stdout), any(len(set(words)) < len(words) for words in said)

    record, found = repeated("--no-repeat-ngram", 0, "--split", "test", "--save")
    assert (record["no_repeat_ngram"], found) == (0, True)
    # Figures that were saved before `eval` had the option do not name it.
    metrics = json.loads((model / "metrics.json").read_text())
    older = metrics["eval"].pop("set test float32")
    del older["no_repeat_ngram"], older["data"]
    metrics["eval"]["test float32"] = older
    (model / "metrics.json").write_text(json.dumps(metrics))
    (model / "README.md").unlink()
    repeated("--no-repeat-ngram", 2, "--split", "test", "--save")
    record, found = repeated("--no-repeat-ngram", 1, "--save")
    assert (record["no_repeat_ngram"], found) == (1, False)
    card = (model / "README.md").read_text()
    # Without the limit and with it stand side by side, in both tables.
    limit = "beam 3, `--no-repeat-ngram 2`"
    for row in ("| test | float32 | 2 | beam 3 |", f"| set test | float32 | 2 | {limit} |"):
        assert row in card
    assert "| test | float32 | beam 3 |" in card
    assert f"| set test | float32 | {limit} |" in card
    assert "| set dev | float32 | 3 | beam 3, `--no-repeat-ngram 1` |" in card
    saved = json.loads((model / "metrics.json").read_text())["eval"]
    assert list(saved) == [
        "test float32", "set test float32, no-repeat 2", "set dev float32, no-repeat 1",
    ]  # fmt: skip
    assert "--no-repeat-ngram 1" in saved["set dev float32, no-repeat 1"]["command"]


def test_eval_records_the_device(bundle, monkeypatch, tmp_path, capsys):
    data = dataset.write(tmp_path / "set", train=4, dev=2, test=2)
    fake_runtime(monkeypatch)
    line = f"mrnn-edge eval --data {data} --model {bundle} --device cuda --json --quiet"
    monkeypatch.setattr("sys.argv", line.split())
    assert run() == 0
    assert json.loads(capsys.readouterr().out)["device"] == "cuda:0"


def test_eval_consensus_says_how_it_chose_and_stays_off_the_card(command, tmp_path):
    data = dataset.write(tmp_path / "set", train=6, dev=3, test=2)
    model = without_card(tiny.write(tmp_path / "model"))
    wishes = ("eval", "--data", data, "--model", model, "--json", "--quiet")
    shape = ("--consensus", "--nbest", 4, "--neighbours", 5, "--similarities", 7)
    done = command(*wishes, *shape)
    assert done.returncode == 0, done.stderr
    record, plain = json.loads(done.stdout), json.loads(command(*wishes).stdout)
    assert record["consensus"] == {"nbest": 4, "neighbours": 5, "similarities": 7}
    assert record["perplexity"] == plain["perplexity"]
    assert "consensus" not in plain
    done = command(*wishes, *shape, "--save")
    assert done.returncode == 2
    assert "leave --save out" in done.stderr
    done = command(*wishes, "--consensus")
    assert done.returncode == 2
    assert "neighbours is 60, expected 1 to 6" in done.stderr
    done = command(*wishes, "--neighbours", 5)
    assert done.returncode == 2
    assert "go with --consensus" in done.stderr


def test_a_data_set_that_is_not_there_is_a_usage_error(command, tmp_path):
    done = command("eval", "--data", "nowhere", "--model", tiny.write(tmp_path / "model"))
    assert done.returncode == 2
    assert "laid out like Flickr8K" in done.stderr


def test_eval_retrieval_has_the_fields_of_the_contract_and_stays_on_the_card(command, tmp_path):
    data = dataset.write(tmp_path / "set", train=4, dev=3, test=2)
    model = without_card(tiny.write(tmp_path / "model"))
    wishes = ("eval", "--data", data, "--model", model, "--json", "--quiet", "--save")
    done = command(*wishes, "--retrieval")
    assert done.returncode == 0, done.stderr
    retrieval = json.loads(done.stdout)["retrieval"]
    assert retrieval["sentences"] == 15
    assert set(retrieval["sentence_to_image"]) == {"r1", "r5", "r10", "median_rank"}
    assert 0.0 <= retrieval["right_picture"] <= 1.0
    share = f"{retrieval['sentence_to_image']['r1']:.1%}"
    row = f"| set dev | float32 | sentence to image | any | {share} |"
    assert row in (model / "README.md").read_text()
    # Captions measured anew, without retrieval: its figures stay, with the command that made them.
    assert command(*wishes, "--beam", 1).returncode == 0
    saved = json.loads((model / "metrics.json").read_text())
    assert "--retrieval" not in saved["eval"]["set dev float32, no-repeat 2"]["command"]
    assert saved["eval"]["set dev float32, no-repeat 2"]["beam"] == 1
    kept = saved["retrieval"]["set dev float32"]
    assert "--retrieval" in kept["command"]
    assert kept["sentence_to_image"] == retrieval["sentence_to_image"]
    card = (model / "README.md").read_text()
    assert row in card
    assert kept["command"] in card


def test_eval_measures_the_confidence_and_draws_it(command, tmp_path):
    data = dataset.write(tmp_path / "set", train=4, dev=9, test=2)
    model = tiny.write(tmp_path / "model")
    wishes = ("eval", "--data", data, "--model", model, "--json", "--quiet")
    done = command(*wishes, "--confidence", "--diagram", tmp_path / "trust.svg")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["confidence"]
    assert found["captions"] == 9 == sum(each["captions"] for each in found["bins"])
    assert 0.0 <= found["area"] <= 1.0
    assert -1.0 <= found["cider_correlation"] <= 1.0
    assert (tmp_path / "trust.svg").read_text().startswith("<svg ")
    done = command(*wishes, "--confidence", "--diagram", tmp_path / "trust.svg")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--force" in done.stderr
    done = command(*wishes, "--diagram", tmp_path / "other.svg")
    assert "goes with --confidence" in done.stderr


def test_eval_pairs_prints_the_taus_and_leaves_out_what_cannot_be_read(command, tmp_path):
    model = without_card(tiny.write(tmp_path / "model"))
    for seed, name in enumerate(("a.png", "b.png")):
        noise_picture(tmp_path / name, seed=seed)
    table = tmp_path / "pairs.tsv"
    table.write_text("a.png\ta red dog\t3\nb.png\ta wall\t1\nb.png\tsky\t2\n")
    done = command("eval", "--pairs", table, "--model", model, "--json", "--prior", "mean")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["pairs"], record["pictures"], record["left_out"]) == (3, 2, 0)
    for key in ("log2_prob", "log2_prob_per_word", "evidence", "score"):
        assert -1.0 <= record[key]["tau_c"] <= 1.0
    (tmp_path / "a.png").unlink()
    done = command("eval", "--pairs", table, "--model", model, "--json")
    assert done.returncode == 3
    assert "a.png: no such file" in done.stderr
    assert json.loads(done.stdout)["left_out"] == 1


def test_eval_refuses_wishes_that_do_not_go_together(command, tmp_path):
    model = without_card(tiny.write(tmp_path / "model"))
    for arguments, message in (
        ([], "give --data"),
        (["--pairs", "x", "--data", "y"], "--pairs goes with --prior alone"),
        (["--pairs", "x", "--beam", 3], "--pairs goes with --prior alone"),
        (["--pairs", "x", "--max-words", 9], "--pairs goes with --prior alone"),
        (["--pairs", "x", "--no-repeat-ngram", 3], "--pairs goes with --prior alone"),
        (["--pairs", "x", "--split", "test"], "--pairs goes with --prior alone"),
        (["--pairs", "x", "--nbest", 5], "go with --consensus"),
        (["--data", "x", "--prior", "mean"], "--prior goes with --pairs"),
    ):
        done = command("eval", "--model", model, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr


def test_a_card_that_was_edited_is_not_written_again(command, tmp_path):
    data = dataset.write(tmp_path / "set", train=4, dev=3, test=2)
    model = tiny.write(tmp_path / "model")
    (model / "README.md").write_text("my own notes")
    done = command("eval", "--data", data, "--model", model, "--save")
    assert (done.returncode, "was edited" in done.stderr) == (2, True)
    assert (model / "README.md").read_text() == "my own notes"
