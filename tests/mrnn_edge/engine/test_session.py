"""A graph whose runs fail: opened anew once, then an error (the runtime is a fake)."""

import gc
import threading
import weakref

import numpy as np
import pytest
import tiny

from mrnn_edge import Captioner
from mrnn_edge.engine.device import Device, DeviceKind
from mrnn_edge.engine.session import Session
from mrnn_edge.errors import BundleError, DeviceError, ModelError

CUDA = Device(kind=DeviceKind.CUDA)
FEEDS = {"term": np.ones(1, np.float32)}


class Graph:
    """A graph of which a number of runs fail, those after them answer with its number."""

    def __init__(self, number, failures, error):
        self.number, self.failures, self.error = number, failures, error

    def run(self, outputs, feeds):
        if self.failures:
            self.failures -= 1
            raise self.error
        return [self.number]


def session_of(*failures, error=None):
    """A session whose n-th opened graph fails so many runs; and the graphs, as they open."""
    opened = []
    error = error or RuntimeError("CUDA failure 700: an illegal memory access\nat line 12")

    def opener():
        opened.append(Graph(len(opened), failures[len(opened)], error))
        return opened[-1]

    return Session(opener, device=CUDA), opened


def test_a_run_that_fails_once_is_done_again_on_a_graph_opened_anew():
    session, opened = session_of(1, 0)
    assert session.run(["sum"], FEEDS) == [1]
    assert session.run(["sum"], FEEDS) == [1]
    assert len(opened) == 2


def test_a_run_that_fails_on_the_new_graph_too_is_a_device_error_in_one_line():
    session, opened = session_of(1, 1)
    with pytest.raises(DeviceError, match="cuda:0 failed in the middle of a run") as raised:
        session.run(["sum"], FEEDS)
    message = str(raised.value)
    assert "CUDA failure 700: an illegal memory access" in message
    assert "mrnn-edge doctor" in message
    assert "\n" not in message
    assert len(opened) == 2


def test_a_second_accident_later_on_is_mended_as_the_first_was():
    session, opened = session_of(1, 0, 0)
    assert session.run(["sum"], FEEDS) == [1]
    opened[1].failures = 1
    assert session.run(["sum"], FEEDS) == [2]


def test_a_graph_that_cannot_be_opened_anew_is_a_device_error_that_says_why():
    graphs = iter([Graph(0, 1, RuntimeError("device lost"))])

    def opener():
        try:
            return next(graphs)
        except StopIteration:
            raise BundleError("encoder.onnx is missing") from None

    session = Session(opener, device=CUDA)
    with pytest.raises(DeviceError, match=r"device lost.*encoder\.onnx is missing"):
        session.run(["sum"], FEEDS)


def test_the_memory_of_the_graph_that_failed_is_free_before_the_new_one_opens():
    alive = []

    def opener():
        gc.collect()
        alive.append(None if not graphs else graphs[0]() is not None)
        graph = Graph(0, 1 if not graphs else 0, MemoryError("out of memory"))
        graphs.append(weakref.ref(graph))
        return graph

    graphs: list[weakref.ref] = []
    Session(opener, device=CUDA).run(["sum"], FEEDS)
    assert alive == [None, False]


def test_of_threads_that_fail_together_one_opens_the_graph_for_all():
    together = threading.Barrier(8)
    opened = []

    class Dead:
        def run(self, outputs, feeds):
            together.wait(30)
            raise RuntimeError("device lost")

    def opener():
        opened.append(Graph(len(opened), 0, None) if opened else Dead())
        return opened[-1]

    session = Session(opener, device=CUDA)
    answers = []
    workers = [
        threading.Thread(target=lambda: answers.append(session.run(["sum"], FEEDS)))
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert answers == [[1]] * 8
    assert len(opened) == 2


def test_a_captioner_outlives_a_run_that_fails_and_its_captions_stay_the_same(bundle, monkeypatch):
    import onnxruntime

    captioner = Captioner.load(bundle, device="cpu")
    pixels = np.full((tiny.SIDE, tiny.SIDE, 3), 200, np.uint8)
    expected = captioner.caption(pixels)
    real, failures = onnxruntime.InferenceSession.run, iter([True, False, False, True])

    def run(self, *arguments):
        if next(failures, False):
            raise RuntimeError("out of memory")
        return real(self, *arguments)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
    found = captioner.caption(pixels)
    assert next(failures, None) is None, "not all failures were met"
    assert (found.text, found.log2_prob) == (expected.text, expected.log2_prob)


def test_on_the_cpu_which_runs_what_can_be_run_it_is_the_model_that_fails(bundle, monkeypatch):
    import onnxruntime

    captioner = Captioner.load(bundle, device="cpu")

    def run(self, *arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
    with pytest.raises(ModelError, match="out of memory.*check the model with `mrnn-edge verify`"):
        captioner.caption(np.zeros((tiny.SIDE, tiny.SIDE, 3), np.uint8))
