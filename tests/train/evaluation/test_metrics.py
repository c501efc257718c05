import pytest

from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.flickr8k import read_split
from mrnn_edge_train.evaluation.metrics import cider, distinct_ngrams, score_captions

PUBLISHED = {
    "bleu": (0.607947686117, 0.419432964407, 0.279172113885, 0.182779152028),
    "rouge_l": 0.446925017641,
    "cider": 0.479622648115,
    "meteor": 0.194883476263,
}
"""Of golden/merge_1.captions.txt, by the coco-caption toolkit with its own tokeniser."""


def test_golden_captions_score_as_published(golden, flickr8k):
    by_name = {image.name: image for image in read_split(flickr8k, Split.TEST)}
    names = (golden / "images.txt").read_text().split()
    lines = (golden / "merge_1.captions.txt").read_text().splitlines()
    references = [by_name[name].sentences for name in names]
    scores = score_captions(references, [tokenize(line) for line in lines])
    assert scores.bleu == pytest.approx(PUBLISHED["bleu"], abs=1e-4)
    assert scores.rouge_l == pytest.approx(PUBLISHED["rouge_l"], abs=1e-4)
    assert scores.cider == pytest.approx(PUBLISHED["cider"], abs=1e-4)
    if scores.meteor is not None:
        assert scores.meteor == pytest.approx(PUBLISHED["meteor"], abs=1e-4)


def test_bleu_of_a_hand_computed_case():
    reference = ["the", "cat", "is", "on", "the", "mat"]
    scores = score_captions(
        [[reference]], [["the", "cat", "sat", "on", "the", "mat"]], meteor=False
    )
    # 5 of 6 words; 3 of 5 pairs; no brevity penalty.
    assert scores.bleu[0] == pytest.approx(5 / 6)
    assert scores.bleu[1] == pytest.approx((5 / 6 * 3 / 5) ** 0.5)
    # Longest common subsequence 5 of 6 and 6: precision and recall are equal.
    assert scores.rouge_l == pytest.approx(5 / 6)
    assert scores.meteor is None


def test_captions_equal_to_their_reference_have_the_highest_cider():
    references = [[["a", "red", "dog", "runs"]], [["two", "blue", "birds", "fly"]]]
    right = cider(references, [references[0][0], references[1][0]])
    swapped = cider(references, [references[1][0], references[0][0]])
    assert right == pytest.approx(10.0)
    assert swapped == pytest.approx(0.0)


def test_an_empty_caption_is_scored_not_refused():
    scores = score_captions([[["a", "dog"]], [["a", "cat"]]], [[], ["a", "cat"]], meteor=False)
    assert 0 < scores.bleu[0] < 1


def test_distinct_ngrams_are_counted_over_all_captions_together():
    captions = [("a", "dog", "runs"), ("a", "dog", "sits"), ("a",)]
    assert distinct_ngrams(captions, 1) == 4 / 7
    assert distinct_ngrams(captions, 2) == 3 / 4
    assert distinct_ngrams(captions, 3) == 1.0
    assert distinct_ngrams([("a",)], 2) == 0.0
