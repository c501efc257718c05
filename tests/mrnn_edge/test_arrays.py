"""The largest of many against a full sort, ties and infinities among them."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.arrays import largest


@given(
    values=st.lists(st.sampled_from([-np.inf, -2.0, -1.0, 0.0, 1.0, 3.0]), max_size=200),
    count=st.integers(-1, 250),
)
def test_they_are_the_first_finite_ones_of_a_full_sort(values, count):
    in_order = sorted(range(len(values)), key=lambda at: (-values[at], at))
    finite = [at for at in in_order if math.isfinite(values[at])]
    assert largest(np.array(values), count).tolist() == finite[: max(count, 0)]
