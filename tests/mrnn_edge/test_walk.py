"""A walk bound to the step graph against the same steps by calls of their own.

The device is the CPU here: what is kept on it is handed back as it would be on CUDA.
"""

import weakref

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge import Captioner
from mrnn_edge.beams import PlainWalk
from mrnn_edge.device import Device, DeviceKind
from mrnn_edge.session import Session
from mrnn_edge.walk import BoundWalk

WORDS = len(tiny.vocabulary())


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    folder = tiny.write(tmp_path_factory.mktemp("walk") / "model")
    return Captioner.load(folder, device="cpu").graphs.step


def bound_walk(step, images):
    return BoundWalk(step._session, step, images, state=tiny.STATE, vocabulary=WORDS)


def vectors(count):
    return np.random.default_rng(5).normal(0, 1, (count, tiny.IMAGE)).astype(np.float32)


@given(data=st.data(), count=st.integers(1, 4))
def test_rows_that_stay_cross_grow_and_leave_are_walked_as_by_single_calls(step, data, count):
    images = vectors(count)
    bound = bound_walk(step, images)
    plain = PlainWalk(tiny.TinyNetwork().step, images, state=tiny.STATE)
    owner = list(range(count))
    for _ in range(5):
        tokens = data.draw(
            st.lists(st.integers(0, WORDS - 1), min_size=len(owner), max_size=len(owner))
        )
        for found, expected in zip(bound.step(tokens), plain.step(tokens), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-4)
        straight = list(range(len(owner)))
        rows = data.draw(
            st.just(straight) | st.lists(st.sampled_from(straight), min_size=1, max_size=5)
        )
        owner = [owner[row] for row in rows]
        bound.go_on(rows, owner)
        plain.go_on(rows, owner)


def test_the_states_that_were_fed_stay_what_they_were(step):
    walk = bound_walk(step, vectors(2))
    fed, copies = [], []
    for token in (0, 3, 4, 5):
        _, state = walk.step([token, token])
        fed.append(state)
        copies.append(state.copy())
    assert not (copies[1] == copies[2]).all()
    np.testing.assert_array_equal(fed, copies)


def test_a_bound_run_that_fails_is_done_by_a_call_and_the_walk_goes_on(step, monkeypatch):
    import onnxruntime

    real, failures = onnxruntime.InferenceSession.run_with_iobinding, iter([0, 1, 0, 1, 1, 0])

    def run(self, *arguments):
        if next(failures):
            raise RuntimeError("out of memory")
        return real(self, *arguments)

    walk = bound_walk(step, vectors(3))
    plain = PlainWalk(step, vectors(3), state=tiny.STATE)
    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", run)
    for token in (0, 3, 4, 5, 6, 7):
        for found, expected in zip(walk.step([token] * 3), plain.step([token] * 3), strict=True):
            np.testing.assert_array_equal(found, expected)
        for each in (walk, plain):
            each.go_on([2, 0, 1], [2, 0, 1] if token == 3 else [0, 1, 2])


class FailingGraph:
    """The real graph, of which a first one fails in every run."""

    def __init__(self, real, *, fails):
        self.real, self.fails = real, fails
        self.io_binding = real.io_binding

    def run(self, outputs, feeds):
        self.fail()
        return self.real.run(outputs, feeds)

    def run_with_iobinding(self, binding):
        self.fail()
        self.real.run_with_iobinding(binding)

    def fail(self):
        if self.fails:
            raise RuntimeError("out of memory")


def test_the_memory_of_a_graph_that_failed_is_free_before_another_is_opened(step):
    opened, alive = [], []

    def open_graph():
        alive.append(sum(each() is not None for each in opened))
        graph = FailingGraph(step._session.graph(), fails=not opened)
        opened.append(weakref.ref(graph))
        return graph

    session = Session(open_graph, device=Device(kind=DeviceKind.CPU))

    def plain(token, state, image):
        feeds = {"token": token, "state": state, "image": image}
        return session.run(["log_probs", "next_state"], feeds)

    walk = BoundWalk(session, plain, vectors(2), state=tiny.STATE, vocabulary=WORDS)
    walk.step([0, 0])
    assert alive == [0, 0]
