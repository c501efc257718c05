"""CIDEr-D on ids against the coco-caption toolkit."""

import numpy as np
import pytest
import torch
from pycocoevalcap.cider.cider import Cider

from mrnn_edge_train.evaluation.reward import CiderReward
from mrnn_edge_train.stages.selfcritical import advantages


def sentence(random):
    return tuple(int(word) for word in random.integers(3, 9, random.integers(1, 9)))


def test_it_is_the_toolkits_cider_d_with_the_references_own_document_frequencies():
    random = np.random.default_rng(6)
    references = [[sentence(random) for _ in range(4)] for _ in range(12)]
    captions = [sentence(random) for _ in range(12)]
    truth = {k: [" ".join(map(str, s)) for s in group] for k, group in enumerate(references)}
    guess = {k: [" ".join(map(str, s))] for k, s in enumerate(captions)}
    _, expected = Cider().compute_score(truth, guess)
    reward = CiderReward(references)
    found = [reward.score(picture, ids) for picture, ids in enumerate(captions)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(set(np.round(found, 3))) > 6


def test_an_empty_sentence_is_worth_nothing():
    assert CiderReward([[(3, 4)], [(5,)]]).score(0, ()) == 0.0


def test_an_advantage_is_the_reward_less_the_mean_of_the_other_samples():
    found = advantages(torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]]))
    assert found[0].tolist() == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5])
    assert found[1].tolist() == [0.0, 0.0, 0.0]
