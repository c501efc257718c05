"""The cost against hand-computed cases."""

import math

import pytest
import torch

from mrnn_edge_train.network.cost import bits_per_word, squared_norm


def log(*probabilities):
    return torch.tensor(probabilities).log()


def test_a_fair_choice_of_four_costs_two_bits():
    assert float(bits_per_word(torch.zeros(3, 4), torch.tensor([0, 1, 3]))) == pytest.approx(2.0)


def test_the_mean_is_over_words_not_sentences():
    # Words of probability 1/2, 1/4 and 1/8: (1 + 2 + 3) / 3 bits, perplexity 4.
    logits = torch.stack([log(0.5, 0.25, 0.25), log(0.5, 0.25, 0.25), log(0.75, 0.125, 0.125)])
    bits = float(bits_per_word(logits, torch.tensor([0, 1, 2])))
    assert bits == pytest.approx(2.0)
    assert 2**bits == pytest.approx((0.5 * 0.25 * 0.125) ** (-1 / 3))


def test_smoothing_spreads_its_share_over_the_vocabulary():
    logits = log(0.5, 0.25, 0.25)[None]
    # 0.9 of the word's own bit, and 0.1 of the mean bits of all three words.
    expected = 0.9 * 1.0 + 0.1 * (1.0 + 2.0 + 2.0) / 3
    bits = bits_per_word(logits, torch.tensor([0]), smoothing=0.1)
    assert float(bits) == pytest.approx(expected)


def test_the_gradient_of_a_logit_is_probability_minus_target_in_bits():
    logits = log(0.5, 0.25, 0.25)[None].requires_grad_()
    bits_per_word(logits, torch.tensor([1])).backward()
    per_nat = 1 / math.log(2)
    assert logits.grad[0].tolist() == pytest.approx(
        [0.5 * per_nat, (0.25 - 1) * per_nat, 0.25 * per_nat]
    )


def test_the_l2_term_is_the_sum_of_all_squares():
    parameters = [torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([-4.0])]
    assert float(squared_norm(parameters)) == 1 + 4 + 9 + 16
