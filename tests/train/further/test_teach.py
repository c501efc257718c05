"""A word that is taught, on a network of random weights whose pictures are image vectors."""

import dataclasses

import numpy as np
import pytest
import torch
from lessons import lesson

from mrnn_edge.errors import DatasetError, OptionError
from mrnn_edge.options import DecodeOptions
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.further.further import Further, Pictures
from mrnn_edge_train.further.teach import check_lesson, parse_word, teach
from mrnn_edge_train.network.cells import Cell
from mrnn_edge_train.network.folded import LEAST, FoldedStep
from mrnn_edge_train.network.model import MRNN, ModelSizes

WORDS = Vocabulary(("<start>", "<end>", "<unk>", "a", "dog", "cat", "runs", "sits", "here"))
SIZES = ModelSizes(vocabulary=len(WORDS), feature=6, embedding=5, state=8, multimodal=12)
GREEDY = DecodeOptions(beam=1, max_words=8)


def fold(model: MRNN) -> FoldedStep:
    """The tables of a network, as export makes them."""
    words = model.word_vector(torch.arange(model.sizes.vocabulary))
    cell = {
        f"recurrent.{name}": value
        for name, value in model.recurrent.state_dict().items()
        if not name.startswith("input.")
    }
    out = (
        {"projection": model.softmax.projection.weight, "words": model.embedding_1.weight}
        if model.sizes.tied
        else {"words": model.softmax.weight}
    )
    return FoldedStep(
        {
            "drive_table": model.recurrent.drive(words),
            "multimodal_table": model.word_to_multimodal(words),
            "state_to_multimodal": model.state_to_multimodal.weight,
            "bias": model.softmax.bias,
            **out,
            **cell,
        }
    )


@pytest.fixture
def step() -> FoldedStep:
    torch.manual_seed(1)
    return fold(MRNN(SIZES))


def with_word(step: FoldedStep, bias: float) -> FoldedStep:
    """A taught word whose probability `bias` governs alone."""
    weights = step.weights()
    weights["drive_table"] = torch.cat([weights["drive_table"], torch.ones(1, 8)])
    weights["multimodal_table"] = torch.cat([weights["multimodal_table"], torch.ones(1, 12)])
    weights["taught_words"] = torch.zeros(1, 12)
    weights["taught_bias"] = torch.tensor([bias])
    return FoldedStep(weights)


@pytest.mark.parametrize("cell", list(Cell))
@pytest.mark.parametrize("tied", [False, True])
def test_the_folded_step_is_the_networks_own(cell, tied):
    torch.manual_seed(2)
    model = MRNN(dataclasses.replace(SIZES, cell=cell, tied=tied)).eval()
    folded = fold(model)
    token, image = torch.tensor([3, 5]), torch.randn(2, 12)
    state = torch.rand(2, model.recurrent.state_size)
    for ours, theirs in zip(
        folded.step(token, state, image), model.step(token, state, image), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    tokens, mask = torch.tensor([[0, 3, 4], [0, 5, 1]]), torch.ones(2, 3, dtype=torch.bool)
    logits = folded(tokens, image, mask)
    memory = torch.zeros(2, model.recurrent.state_size)
    for time in range(3):
        expected, memory = model.step(tokens[:, time], memory, image)
        found = torch.log_softmax(logits.view(2, 3, -1)[:, time], dim=-1)
        torch.testing.assert_close(found, expected)


def test_below_the_least_odds_the_other_words_keep_their_probabilities_to_the_last_bit(step):
    token, state, image = torch.tensor([3] * 50), torch.rand(50, 8), torch.randn(50, 12)
    before, memory = step.step(token, state, image)
    after, other = with_word(step, bias=-9.0).step(token, state, image)
    assert (after[:, -1].exp() < LEAST).all()
    assert torch.equal(after[:, :-1], before)
    assert torch.equal(memory, other)
    assert (after.exp().sum(dim=-1) < 1.0 + LEAST + 1e-5).all()


def test_above_them_the_softmax_is_the_ordinary_one(step):
    token, state, image = torch.tensor([3] * 50), torch.rand(50, 8), torch.randn(50, 12)
    taught = with_word(step, bias=2.0)
    found, _ = taught.step(token, state, image)
    assert (found[:, -1].exp() > LEAST).all()
    torch.testing.assert_close(found.exp().sum(dim=-1), torch.ones(50))
    ordinary, _ = taught.merged().step(token, state, image)
    torch.testing.assert_close(found, ordinary)


@pytest.mark.parametrize("bias", [-9.0, 2.0])
def test_shares_are_the_slopes_of_the_log_probabilities(step, bias):
    taught = with_word(step, bias=bias).requires_grad_(False)
    projected = torch.randn(1, 12).requires_grad_()
    words = torch.cat([taught.words, taught.taught_words])
    for word in (4, 9):
        (slope,) = torch.autograd.grad(taught.log_probs(projected)[0, word], projected)
        expected = words[word] - taught.shares(projected)[0] @ words
        torch.testing.assert_close(slope[0], expected)


def test_a_word_is_learnt_and_other_pictures_keep_their_captions(step):
    taught = teach(step, WORDS, lesson(), GREEDY)
    assert taught.vocabulary.words == (*WORDS.words, "zebra")
    assert taught.taught_on == 12
    assert taught.says >= 9
    assert (taught.kept, taught.typical) == (30, 30)


def test_nothing_but_the_new_rows_is_learnt(step):
    before = step.weights()
    after = teach(step, WORDS, lesson(), GREEDY).step.weights()
    assert all(torch.equal(value, before[name]) for name, value in step.weights().items())
    for name, value in before.items():
        assert torch.equal(after[name][: len(value)], value), name
    assert after["taught_words"].shape == (1, 12)


def test_the_same_lesson_gives_the_same_weights(step):
    one, other = (teach(step, WORDS, lesson(), GREEDY).step.weights() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_gradient_of_a_folded_step_is_the_same_to_the_last_bit_each_time():
    torch.manual_seed(3)
    sizes = ModelSizes(vocabulary=40, feature=6, embedding=5, cell=Cell.GRU)
    step = fold(MRNN(sizes)).requires_grad_()
    tokens, images = torch.randint(0, 40, (64, 6)), torch.randn(64, sizes.multimodal)
    mask = torch.ones_like(tokens, dtype=torch.bool)
    torch.set_num_threads(2)  # conftest's one again after this test
    seen = set()
    for _ in range(30):
        step.zero_grad()
        torch.autograd.backward(step(tokens, images, mask).square().sum())
        tables = (step.drive_table, step.multimodal_table)
        seen.add(b"".join(each.grad.numpy().tobytes() for each in tables))
    assert len(seen) == 1


def test_a_second_word_can_be_taught_after_the_first(step):
    first = teach(step, WORDS, lesson(), GREEDY)
    second = teach(first.step, first.vocabulary, lesson(word="okapi"), GREEDY)
    assert second.vocabulary.words[-2:] == ("zebra", "okapi")
    assert second.step.weights()["taught_words"].shape == (2, 12)
    assert torch.equal(second.step.taught_words[0], first.step.taught_words[0])


def test_words_that_cannot_be_taught_are_refused():
    assert parse_word("Zebra", WORDS) == "zebra"
    with pytest.raises(OptionError, match="knows 'dog' already"):
        parse_word("dog", WORDS)
    for text in ("two words", "?"):
        with pytest.raises(OptionError, match="not one word"):
            parse_word(text, WORDS)
    with pytest.raises(DatasetError, match="0 of 12 pictures have 'okapi'"):
        check_lesson("okapi", lesson().images)


def test_training_on_takes_in_new_words_and_keeps_the_best_epoch(step):
    own = lesson()
    pictures = Pictures(images=own.images, table=own.table)
    run = Further(step=step, vocabulary=WORDS, train=pictures, dev=pictures, seed=1)
    assert run.new_words == ("zebra",)
    before = run.best
    figures = list(run.run(4))
    assert [each.epoch for each in figures] == [1, 2, 3, 4]
    assert run.best == min(each.dev_perplexity for each in figures) < before
    bits, words = 0.0, 0
    for vector in torch.from_numpy(own.table.features)[:, None]:
        for sentence in ([3, 9, 6, 1], [3, 9, 7, 8, 1]):
            state = torch.zeros(1, 8)
            for said, word in zip([0, *sentence], sentence, strict=False):
                log_probs, state = run.step.step(torch.tensor([said]), state, vector)
                bits -= float(log_probs[0, word].detach()) / np.log(2.0)
                words += 1
    np.testing.assert_allclose(run.best, 2.0 ** (bits / words), rtol=1e-4)
