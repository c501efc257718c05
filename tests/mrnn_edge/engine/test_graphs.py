"""What goes into an open graph and comes out of it is looked at."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from mrnn_edge.engine.graphs import OpenEncoder
from mrnn_edge.errors import NumericalError


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_picture_whose_vector_is_not_finite_is_named(captioner, value):
    vectors = np.ones((3, tiny.IMAGE), np.float32)
    vectors[2, 1] = value
    answering = SimpleNamespace(run=lambda outputs, feeds: [vectors])
    encoder = OpenEncoder(answering, captioner.config)
    pixels = np.zeros((3, captioner.config.image.height, captioner.config.image.width, 3), np.uint8)
    with pytest.raises(NumericalError, match="picture 2 of the batch"):
        encoder(pixels)
    vectors[2, 1] = -3e38
    np.testing.assert_array_equal(encoder(pixels), vectors)


def test_no_pictures_have_no_vectors(captioner):
    spec = captioner.config.image
    nothing = captioner.graphs.encoder(np.zeros((0, spec.height, spec.width, 3), np.uint8))
    assert nothing.shape == (0, tiny.IMAGE)


def test_batches_of_different_lengths_are_refused_before_they_broadcast(captioner):
    with pytest.raises(ValueError, match="2 tokens, 1 states"):
        captioner.graphs.step(
            np.zeros(2, np.int64),
            np.zeros((1, tiny.STATE), np.float32),
            np.zeros((2, tiny.IMAGE), np.float32),
        )


@pytest.mark.parametrize("token", [-1, 12])
def test_a_token_that_is_none_is_refused_before_it_counts_from_the_end(captioner, token):
    with pytest.raises(ValueError, match="expected 0 to 11"):
        captioner.graphs.step(
            np.array([3, token]),
            np.zeros((2, tiny.STATE), np.float32),
            np.zeros((2, tiny.IMAGE), np.float32),
        )
