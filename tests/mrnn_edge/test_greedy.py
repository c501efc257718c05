"""The greedy search inside the graph against the one in Python and numpy; when it is used."""

import dataclasses
import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
from fake_cuda import fake_runtime
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mrnn_edge import Captioner, DecodeOptions, Sampling
from mrnn_edge.beams import SearchSpace
from mrnn_edge.config import GraphRole, Precision
from mrnn_edge.constraints import Constraints
from mrnn_edge.decode import beam_search
from mrnn_edge.errors import BundleError, ForkedSessionError, NumericalError
from mrnn_edge.generation import Decoded
from mrnn_edge.greedy import OUTPUTS, GreedySearch
from mrnn_edge.runtime import open_greedy
from mrnn_edge.score import path_log_probs
from mrnn_edge.session import Session

GREEDY = DecodeOptions(beam=1)
WORDS = len(tiny.vocabulary())
START, END = tiny.vocabulary().start, tiny.vocabulary().end
PICTURE = np.full((tiny.SIDE, tiny.SIDE, 3), (200, 40, 90), np.uint8)


def step_of(network: tiny.TinyNetwork) -> bytes:
    return tiny.step_graph(network, tiny.metadata(GraphRole.STEP))


def plain_step(network: tiny.TinyNetwork) -> bytes:
    """The step without its softmax: a number that is none stays where it is."""
    model = onnx.load_from_string(step_of(network))
    model.graph.node[-1].CopyFrom(onnx.helper.make_node("Identity", ["logits"], ["log_probs"]))
    return model.SerializeToString()


def opened(captioner: Captioner, step: bytes, space: SearchSpace, *, rows: int) -> Session:
    return open_greedy(
        captioner.config,
        read=lambda role: step,
        precision=Precision.FLOAT32,
        space=space,
        rows=rows,
        threads=1,
    )


def ready(captioner: Captioner, step: bytes, space: SearchSpace, *, rows: int) -> GreedySearch:
    search = GreedySearch(lambda: opened(captioner, step, space, rows=rows), space)
    assert search.ready()
    return search


def alone(captioner: Captioner, vector: np.ndarray, options: DecodeOptions = GREEDY) -> Decoded:
    """What the loop in Python finds."""
    captions = dataclasses.replace(captioner.captions, greedy=None)
    (decoded,) = captions.decode(vector, options, Constraints())
    return decoded


@settings(max_examples=60)
@given(
    seed=st.integers(0, 30),
    rows=st.integers(1, 2),
    max_words=st.integers(1, 9),
    lean=st.sampled_from([-30.0, 0.0, 2.0, 30.0]),
    banned=st.sets(st.integers(0, WORDS - 1), max_size=WORDS - 1),
)
def test_the_graph_finds_what_a_beam_of_one_finds_in_numpy(
    captioner, seed, rows, max_words, lean, banned
):
    network = tiny.TinyNetwork(seed)
    network.weights["softmax_bias"][END] += lean  # ends never, in time, at once
    space = SearchSpace(start=START, end=END, banned=tuple(banned), state=tiny.STATE)
    images = np.random.default_rng(seed).normal(0, 1, (rows, tiny.IMAGE)).astype(np.float32)
    found = ready(captioner, step_of(network), space, rows=rows)(images, max_words=max_words)
    ((best,),) = beam_search(network.step, images[:1], space, width=1, max_words=max_words)
    assert found is not None
    hypothesis, log_probs = found
    assert (hypothesis.tokens, hypothesis.ended) == (best.tokens, best.ended)
    np.testing.assert_allclose(hypothesis.log_probs, best.log_probs, atol=1e-4)
    np.testing.assert_allclose(hypothesis.states, best.states, atol=1e-4)
    for image, each in zip(images, log_probs, strict=True):
        (expected,) = path_log_probs(network.step, image, [best], space)
        np.testing.assert_allclose(each, expected, atol=1e-4)


@settings(max_examples=80)
@given(
    seed=st.integers(0, 5),
    bias=st.lists(
        st.sampled_from([0.0, 5.0, np.nan, np.inf, -np.inf]), min_size=WORDS, max_size=WORDS
    ),
    sparse=st.booleans(),
)
@example(seed=0, bias=[-np.inf] * WORDS, sparse=False)  # no word has a chance
@example(seed=0, bias=[0.0, -np.inf, 0.0] + [-np.inf] * (WORDS - 3), sparse=False)  # none allowed
@example(seed=0, bias=[np.nan] + [0.0] * (WORDS - 1), sparse=False)  # a word never chosen
@example(seed=0, bias=[-np.inf] * (WORDS - 1) + [0.0], sparse=False)  # one word has
def test_where_numbers_are_none_the_graph_leaves_it_to_the_loop_and_its_errors(
    captioner, seed, bias, sparse
):
    network = tiny.TinyNetwork(seed)
    bias = np.array(bias, np.float32)
    network.weights["softmax_bias"] = (
        np.where(np.arange(WORDS) % 3 == 0, bias, 0) if sparse else bias
    )
    step, captions = plain_step(network), captioner.captions
    model = onnxruntime.InferenceSession(step, providers=["CPUExecutionProvider"])

    def run(token, state, image):
        return model.run(None, {"token": token, "state": state, "image": image})

    captions = dataclasses.replace(captions, step=run, greedy=None)
    search = ready(captioner, step, captions.space, rows=2)
    fused = dataclasses.replace(captions, greedy=search)
    vector = np.random.default_rng(seed).normal(0, 1, (1, tiny.IMAGE)).astype(np.float32)

    def outcome(generator):
        try:
            (decoded,) = generator.decode(vector, DecodeOptions(beam=1, max_words=4), Constraints())
        except NumericalError as error:
            return str(error)
        return decoded

    expected, found = outcome(captions), outcome(fused)
    if isinstance(expected, str):
        assert found == expected
    else:
        assert found.hypotheses == expected.hypotheses
        np.testing.assert_allclose(found.habit, expected.habit)


def test_where_only_the_prior_gives_no_number_it_is_left_to_the_loop_too(captioner):
    captions = captioner.captions
    search = ready(captioner, plain_step(tiny.TinyNetwork()), captions.space, rows=2)
    images = np.zeros((2, tiny.IMAGE), np.float32)
    assert search(images, max_words=3) is not None
    images[1] = np.nan
    assert search(images, max_words=3) is None


def test_words_as_likely_as_each_other_are_taken_from_the_front_as_in_python(captioner):
    network = tiny.TinyNetwork()
    network.weights["softmax"][:] = 0.0
    network.weights["softmax_bias"][:] = 0.0
    space = captioner.space
    images = np.zeros((1, tiny.IMAGE), np.float32)
    found = ready(captioner, step_of(network), space, rows=1)(images, max_words=3)
    ((best,),) = beam_search(network.step, images, space, width=1, max_words=3)
    assert found is not None
    assert (found[0].tokens, found[0].ended) == (best.tokens, best.ended) == ((), True)
    banned = dataclasses.replace(space, banned=(*space.banned, space.end))
    found = ready(captioner, step_of(network), banned, rows=1)(images, max_words=3)
    assert found is not None
    assert found[0].tokens == (3, 3, 3)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", [*Precision])
def test_the_shipped_model_says_the_same_words_as_likely_both_ways(precision, threads, root):
    captioner = Captioner.load(device="cpu", precision=precision, threads=threads)
    assert captioner.captions.greedy.ready()
    for file in sorted((root / "docs/pictures").glob("*.jpg")):
        vector = captioner.encode(file)[None]
        for max_words in (4, 20):
            options = DecodeOptions(beam=1, max_words=max_words)
            (found,) = captioner.captions.decode(vector, options, Constraints())
            expected = alone(captioner, vector, options)
            (one,), (other,) = found.hypotheses, expected.hypotheses
            assert (one.tokens, one.ended) == (other.tokens, other.ended)
            np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)
            np.testing.assert_allclose(found.habit, expected.habit, atol=1e-4)
            np.testing.assert_allclose(one.states, other.states, atol=1e-4)


class Spy:
    """Counts what it is asked and answers nothing."""

    def __init__(self):
        self.asked = 0

    def __call__(self, images, *, max_words):
        self.asked += 1


@pytest.mark.parametrize(
    ("wishes", "pictures", "asked"),
    [
        ({"beam": 1}, 1, 1),
        ({"beam": 1, "max_words": 3}, 1, 1),
        ({"beam": 1, "length_penalty": 0.0}, 1, 1),
        ({"beam": 1, "min_confidence": 0.0}, 1, 1),
        ({"beam": 1}, 2, 0),
        ({}, 1, 0),
        ({"beam": 2}, 1, 0),
        ({"beam": 1, "nbest": 2}, 1, 0),
        ({"sampling": Sampling(seed=1)}, 1, 0),
        ({"beam": 1, "prefix": "a"}, 1, 0),
        ({"beam": 1, "forbid": ("dog",)}, 1, 0),
        ({"beam": 1, "require": ("dog",)}, 1, 0),
        ({"beam": 1, "no_repeat_ngram": 2}, 1, 0),
    ],
)
def test_it_serves_one_picture_with_a_beam_of_one_and_no_wish_for_words(
    captioner, wishes, pictures, asked
):
    options, spy = DecodeOptions(**wishes), Spy()
    generator = dataclasses.replace(captioner.captions, greedy=spy)
    vectors = np.repeat(captioner.encode(PICTURE)[None], pictures, axis=0)
    found = generator.decode(vectors, options, generator.constraints(options))
    assert len(found) == pictures
    assert spy.asked == asked


def test_captions_are_the_same_before_and_after_the_graph_takes_over(bundle):
    captioner = Captioner.load(bundle, device="cpu")
    pictures = [np.full_like(PICTURE, (9 * c, 255 - 9 * c, 40)) for c in range(25)]
    before = [alone(captioner, captioner.encode(each)[None]) for each in pictures]
    assert captioner.captions.greedy.ready()
    for picture, expected in zip(pictures, before, strict=True):
        (best,) = expected.hypotheses
        found = captioner.caption(picture, beam=1)
        assert found.text == " ".join(tiny.vocabulary().decode(best.tokens))
        assert found.truncated == (not best.ended)
        assert found.log2_prob == pytest.approx(best.log_prob / np.log(2), abs=1e-4)
        evidence = (best.log_prob - expected.habit.sum()) / np.log(2)
        assert found.confidence == pytest.approx(evidence, abs=1e-4)


def test_a_model_without_a_prior_gives_no_confidence_by_the_graph_either(tmp_path):
    captioner = Captioner.load(tiny.write(tmp_path, tiny.files(prior=None)), device="cpu")
    expected = captioner.caption(PICTURE, beam=1)
    assert captioner.captions.greedy.ready()
    found = captioner.caption(PICTURE, beam=1)
    assert (found.text, found.confidence, expected.confidence) == (expected.text, None, None)
    assert found.log2_prob == pytest.approx(expected.log2_prob, abs=1e-4)


def test_the_first_searches_open_nothing_and_the_next_one_opens_it_beside_itself(captioner):
    images = np.zeros((1, tiny.IMAGE), np.float32)
    may_open = threading.Event()

    def opener():
        assert may_open.wait(30)
        return opened(captioner, step_of(tiny.TinyNetwork()), captioner.space, rows=1)

    search = GreedySearch(opener, captioner.space, few=2)
    assert [search(images, max_words=3) for _ in range(6)] == [None] * 6  # waits for nothing
    may_open.set()
    assert search.ready()
    assert search(images, max_words=3) is not None


def test_few_searches_never_open_it(captioner):
    def opener():
        raise AssertionError

    search = GreedySearch(opener, captioner.space, few=2)
    images = np.zeros((1, tiny.IMAGE), np.float32)
    assert [search(images, max_words=3) for _ in range(2)] == [None] * 2
    assert search._opening is None


def test_a_graph_that_cannot_be_opened_is_tried_once_and_missed_by_nobody(bundle):
    captioner = Captioner.load(bundle, device="cpu")
    expected = captioner.caption(PICTURE, beam=1)
    (bundle / "step.onnx").unlink()
    assert not captioner.captions.greedy.ready()
    tiny.write(bundle)
    assert not captioner.captions.greedy.ready()
    assert captioner.caption(PICTURE, beam=1).text == expected.text


def test_a_step_that_breaks_its_promise_of_a_shape_is_left_to_the_loop(captioner):
    model = onnx.load_from_string(step_of(tiny.TinyNetwork()))
    (last,) = (node for node in model.graph.node if "log_probs" in node.output)
    last.output[0] = "single"
    twice = onnx.helper.make_node("Concat", ["single"] * 2, ["log_probs"], axis=0)
    model.graph.node.append(twice)
    search = ready(captioner, model.SerializeToString(), captioner.space, rows=1)
    assert search(np.zeros((1, tiny.IMAGE), np.float32), max_words=3) is None


def test_a_run_that_fails_is_done_again_on_a_graph_opened_anew(bundle, monkeypatch):
    captioner = Captioner.load(bundle, device="cpu")
    assert captioner.captions.greedy.ready()
    expected = captioner.caption(PICTURE, beam=1)
    real, failures = onnxruntime.InferenceSession.run, itertools.count()

    def run(self, outputs, feeds):
        if outputs == list(OUTPUTS) and next(failures) == 0:
            raise RuntimeError("out of memory")
        return real(self, outputs, feeds)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
    found = captioner.caption(PICTURE, beam=1)
    assert next(failures) == 2
    assert (found.text, found.log2_prob) == (expected.text, expected.log2_prob)


def test_a_fork_cannot_use_it(captioner, monkeypatch):
    search = ready(captioner, step_of(tiny.TinyNetwork()), captioner.space, rows=1)
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    with pytest.raises(ForkedSessionError, match="load it in the child"):
        search(np.zeros((1, tiny.IMAGE), np.float32), max_words=3)


# In a process of its own: Python warns of a fork where there are threads.
FORK = """
import os, threading
import numpy as np
from mrnn_edge.beams import SearchSpace
from mrnn_edge.greedy import GreedySearch

opens = threading.Event()
space = SearchSpace(start=0, end=1, banned=(), state=3)
search = GreedySearch(lambda: opens.wait(60), space, few=0)
images = np.zeros((1, 2), np.float32)
assert search(images, max_words=3) is None
child = os.fork()
if child == 0:
    os._exit(0 if search(images, max_words=3) is None else 1)
_, status = os.waitpid(child, 0)
opens.set()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_it_is_being_opened_waits_for_no_thread_of_its_parent():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_threads_share_it_and_open_it_once(captioner):
    openings = []

    def opener():
        openings.append(1)
        return opened(captioner, step_of(tiny.TinyNetwork()), captioner.space, rows=2)

    search = GreedySearch(opener, captioner.space, few=0)
    images = np.random.default_rng(0).normal(0, 1, (2, tiny.IMAGE)).astype(np.float32)
    found = []

    def work():
        for _ in range(50):
            found.append(search(images, max_words=5))

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert search.ready()
    assert len(openings) == 1
    expected, habits = search(images, max_words=5)
    for each in found:
        if each is not None:
            assert each[0] == expected
            np.testing.assert_array_equal(each[1], habits)


def test_on_cuda_the_step_keeps_its_own_loop(bundle, monkeypatch):
    fake_runtime(monkeypatch)
    assert Captioner.load(bundle, device="cuda").captions.greedy is None
    assert Captioner.load(bundle, device="cuda:0+cpu").captions.greedy.ready()


def test_a_step_that_onnx_runtime_refuses_in_a_loop_raises_as_other_graphs_do(captioner):
    model = onnx.load_from_string(step_of(tiny.TinyNetwork()))
    model.opset_import[0].version = 99
    with pytest.raises(BundleError, match="refuses the step graph"):
        opened(captioner, model.SerializeToString(), captioner.space, rows=1)
