"""`mrnn-edge score` and `rank` as processes."""

import json

import pytest
import tiny

from mrnn_edge import Captioner


@pytest.fixture
def model(tmp_path):
    return tiny.write(tmp_path / "model")


def test_score_prints_evidence_bits_and_sentence_in_the_order_given(
    command, model, picture, captioner
):
    sentences = ["a red dog", "Blue sky."]
    done = command("score", picture, *sentences, "--model", model, "--quiet")
    expected = [
        f"{each.evidence:+.1f}\t{each.log2_prob:.2f}\t{each.sentence}"
        for each in captioner.score(picture, sentences)
    ]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == expected


def test_score_json_has_the_fields_of_the_contract(command, model, picture):
    done = command("score", picture, "a zebra", "--model", model, "--json")
    (record,) = json.loads(done.stdout)
    assert list(record) == [
        "sentence", "log2_prob", "perplexity", "evidence", "words", "unknown_words",
    ]  # fmt: skip
    assert record["unknown_words"] == ["zebra"]
    assert [list(word) for word in record["words"]] == [["word", "prob", "grounding"]] * 2


def test_unknown_words_are_said_once_on_stderr(command, model, picture):
    done = command("score", picture, "a zebra", "zebra yak", "--model", model, "--device", "cpu")
    assert "scored as the unknown word: zebra, yak" in done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_the_picture_may_come_on_standard_input(command, model, picture, captioner):
    done = command("score", "-", "a dog", "--model", model, stdin=picture)
    assert done.stdout.split("\t")[1] == f"{captioner.score(picture, ['a dog'])[0].log2_prob:.2f}"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["score", "{picture}", "..."], 2, "has no word"),
        (["score", "missing.jpg", "a dog"], 3, "no such file"),
        (["rank", "{picture}", "--sentences", "x", "--prior", "uniform"], 2, "uniform"),
        (["rank", "{picture}", "--sentences", "missing.txt"], 2, "missing.txt cannot be read"),
        (["rank", "{picture}", "--sentences", "latin1.txt"], 2, "line 2, is not UTF-8"),
    ],
)
def test_bad_input_ends_in_one_line_and_its_code(
    command, model, picture, tmp_path, arguments, code, message
):
    (tmp_path / "latin1.txt").write_bytes(b"a dog\nein s\xfc\xdfer Hund\n")
    filled = [argument.replace("{picture}", str(picture)) for argument in arguments]
    done = command(*filled, "--model", model, "--quiet")
    assert done.returncode == code
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_rank_prints_the_sentences_of_a_file_best_first(
    command, model, picture, tmp_path, captioner
):
    sentences = ["a red dog", "dark wall", "blue blue sky", "a dog"]
    (tmp_path / "lines.txt").write_text("\ufeff" + "\n".join(sentences[:2]) + "\n\n  \n...\n"
                                        + "\r\n".join(sentences[2:]))  # fmt: skip
    done = command("rank", picture, "--sentences", "lines.txt", "--model", model)
    ranked = captioner.rank(picture, sentences)
    assert done.stdout.splitlines() == [
        f"{each.score:+.1f}\t{each.evidence:+.1f}\t{each.log2_prob:.2f}\t{each.sentence}"
        for each in ranked
    ]
    assert "skipped 3 lines without a word" in done.stderr
    assert "unknown" not in done.stderr
    done = command("rank", picture, "--sentences", "lines.txt", "--model", model, "-k", 2, "--json")
    records = json.loads(done.stdout)
    assert [each["rank"] for each in records] == [1, 2]
    assert [each["sentence"] for each in records] == [each.sentence for each in ranked[:2]]
    assert list(records[0])[:2] == ["rank", "score"]


def test_a_model_without_a_prior_shows_a_question_mark_and_null(command, tmp_path, picture):
    bare = tiny.write(tmp_path / "bare", tiny.files(prior=None))
    done = command("score", picture, "a dog", "--model", bare, "--quiet")
    assert done.stdout.split("\t")[0] == "?"
    done = command("score", picture, "a dog", "--model", bare, "--quiet", "--json")
    assert json.loads(done.stdout)[0]["evidence"] is None
    (tmp_path / "x").write_text("a dog")
    done = command("rank", picture, "--sentences", "x", "--model", bare, "--prior", "mean")
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no prior" in done.stderr
    assert Captioner.load(bare).caption(picture).confidence is None
