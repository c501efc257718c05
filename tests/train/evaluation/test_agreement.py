"""Kendall's tau of scores and grades, against counting all pairs of pairs by hand."""

from itertools import combinations

import numpy as np
import pytest
from conftest import noise_picture

from mrnn_edge.errors import DatasetError, FileError
from mrnn_edge_train.evaluation.agreement import agree, read_pairs

ROWS = [
    ("a.png", "a red dog", 3), ("a.png", "blue sky", 1), ("b.png", "a wall", 2),
    ("b.png", "a dark dog", 1), ("c.png", "dog dog dog", 4), ("c.png", "bright", 2),
]  # fmt: skip


@pytest.fixture
def table(tmp_path):
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        noise_picture(tmp_path / name, seed=seed)
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{name}\t{text}\t{grade}\n" for name, text, grade in ROWS))
    return path


def tau_by_hand(scores, grades) -> tuple[float, float]:
    agreeing = tied_scores = tied_grades = 0
    pairs = list(combinations(range(len(scores)), 2))
    for i, j in pairs:
        sign = np.sign(scores[i] - scores[j]) * np.sign(grades[i] - grades[j])
        agreeing += int(sign)
        tied_scores += scores[i] == scores[j]
        tied_grades += grades[i] == grades[j]
    total = len(pairs)
    tau_b = agreeing / np.sqrt((total - tied_scores) * (total - tied_grades))
    fewest = min(len(set(scores)), len(set(grades)))
    tau_c = 2 * agreeing / (len(scores) ** 2 * (fewest - 1) / fewest)
    return float(tau_b), float(tau_c)


@pytest.mark.parametrize("prior", ["mean", "train"])
def test_the_taus_are_those_counted_by_hand_over_the_scores_of_the_captioner(
    captioner, table, prior
):
    found = agree(captioner, read_pairs(table), prior=prior)
    scores = [captioner.rank(table.parent / name, [text], prior=prior)[0] for name, text, _ in ROWS]
    grades = [grade for _, _, grade in ROWS]
    for tau, values in (
        (found.log2_prob, [score.log2_prob for score in scores]),
        (found.log2_prob_per_word, [s.log2_prob / (len(s.words) + 1) for s in scores]),
        (found.evidence, [score.evidence for score in scores]),
        (found.score, [score.score for score in scores]),
    ):
        assert (tau.tau_b, tau.tau_c) == pytest.approx(tau_by_hand(values, grades))
    assert (found.pairs, found.pictures, found.failures) == (6, 3, ())


def test_a_missing_picture_is_named_and_its_pairs_are_left_out(captioner, table):
    (table.parent / "b.png").unlink()
    found = agree(captioner, read_pairs(table))
    assert (found.pairs, found.pictures) == (4, 2)
    (failure,) = found.failures
    assert isinstance(failure, FileError)
    assert "b.png" in str(failure)


def test_no_picture_at_all_is_an_error_not_a_figure(captioner, table):
    for name in ("a.png", "b.png", "c.png"):
        (table.parent / name).unlink()
    with pytest.raises(DatasetError, match=r"0 pairs with 0 different grades.*a\.png"):
        agree(captioner, read_pairs(table))


def test_grades_that_are_all_one_order_nothing_and_are_refused(captioner, table):
    table.write_text("a.png\ta dog\t2\nb.png\ta wall\t2\n")
    with pytest.raises(DatasetError, match="2 pairs with 1 different grades"):
        agree(captioner, read_pairs(table))


def test_scores_that_are_all_one_have_no_tau(captioner, table):
    table.write_text("a.png\ta dog\t2\na.png\tA dog.\t1\n")
    assert agree(captioner, read_pairs(table)).log2_prob.tau_b is None


@pytest.mark.parametrize(
    "line",
    [
        "a.png\ta dog",
        "a.png\ta dog\tgood",
        "a.png a dog 3",
        "a.png\ta\tdog\t3",
        "a.png\ta dog\tnan",
        "a.png\ta dog\tinf",
        "a.png\t...\t1",
    ],
)
def test_a_malformed_line_is_named_by_its_number(table, line):
    table.write_text(table.read_text() + line + "\n")
    with pytest.raises(DatasetError, match=r"pairs\.tsv, line 7"):
        read_pairs(table)


def test_a_file_that_is_missing_not_utf8_or_empty_is_refused(tmp_path):
    path = tmp_path / "pairs.tsv"
    with pytest.raises(DatasetError, match="cannot be read"):
        read_pairs(path)
    path.write_bytes("a.png\tein süßer Hund\t3\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="is not UTF-8"):
        read_pairs(path)
    path.write_text("\n")
    with pytest.raises(DatasetError, match="has 0 pairs"):
        read_pairs(path)
