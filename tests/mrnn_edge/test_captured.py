"""Graphs that CUDA launches as one: the same answers from memory that stays where it is.

The runtime is a fake whose captures fail where a real one would answer with what it was captured
with; that its calls are those of the real one is held by one test on the CPU.
"""

import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
import tiny
from fake_cuda import fake_runtime

from mrnn_edge import Captioner, captured
from mrnn_edge.beams import PlainWalk
from mrnn_edge.captured import MOST_ROWS, CapturedGraph
from mrnn_edge.config import DecodeOptions
from mrnn_edge.device import parse_placement
from mrnn_edge.errors import DeviceError
from mrnn_edge.runtime import try_device

CAPTURED = "cuda:0+graphs"
FORK = """
import os, signal, sys
import onnxruntime
from mrnn_edge.captured import CapturedGraph

CapturedGraph(object, onnxruntime, ("cpu", 0))
child = os.fork()
if not child:
    signal.alarm(20)
    CapturedGraph(object, onnxruntime, ("cpu", 0))
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
OPTIONS = [("CUDAExecutionProvider", {"device_id": "0", "enable_cuda_graph": "1"})]


@pytest.fixture(scope="module")
def pictures():
    colours = np.random.default_rng(2).integers(0, 256, (MOST_ROWS + 1, 1, 1, 3), np.uint8)
    return list(np.tile(colours, (1, tiny.SIDE, tiny.SIDE, 1)))


def words(captions):
    return [each.text for each in captions]


@pytest.mark.parametrize("device", [CAPTURED, "cuda:0+graphs+cpu"])
@pytest.mark.parametrize("beam", [1, 3, 5])
def test_captions_are_those_of_the_cpu(bundle, monkeypatch, pictures, device, beam):
    on_cpu = Captioner.load(bundle, device="cpu")
    expected = [on_cpu.caption(each, beam=beam, nbest=beam) for each in pictures]
    fake_runtime(monkeypatch)
    captioner = Captioner.load(bundle, device=device)
    found = [captioner.caption(each, beam=beam, nbest=beam) for each in pictures]
    assert len(set(words(expected))) > 2
    for ours, theirs in zip(found, expected, strict=True):
        assert [each.caption for each in ours.alternatives] == [
            each.caption for each in theirs.alternatives
        ]
        assert ours.log2_prob == pytest.approx(theirs.log2_prob, abs=1e-4)
        assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)
        assert ours.device == device


def test_each_number_of_rows_is_captured_once_and_launched_from_then_on(
    bundle, monkeypatch, pictures
):
    fake_runtime(monkeypatch, bound=(noted := []))
    captioner = Captioner.load(bundle, device=CAPTURED)
    captioner.caption(pictures[0], beam=3)
    first = set(noted)
    assert {"capture 1", "capture 3", "launch 1", "launch 3"} <= first
    assert len([each for each in noted if each == "capture 1"]) == 2  # one of each graph
    noted.clear()
    captioner.caption(pictures[0], beam=3)
    assert not [each for each in noted if each.startswith("capture") or each.endswith("plainly")]
    assert noted.count("launch 3") > 2


def test_more_rows_than_are_captured_run_kernel_by_kernel(bundle, monkeypatch, pictures):
    on_cpu = Captioner.load(bundle, device="cpu")
    expected = on_cpu.caption_batch(pictures, DecodeOptions(beam=1))
    fake_runtime(monkeypatch, bound=(noted := []))
    captioner = Captioner.load(bundle, device=CAPTURED)
    assert words(captioner.caption_batch(pictures, DecodeOptions(beam=1))) == words(expected)
    assert f"{MOST_ROWS + 1} rows plainly" in noted
    assert not {f"capture {number}" for number in range(MOST_ROWS + 1, 30)} & set(noted)
    nothing = np.zeros((0, tiny.SIDE, tiny.SIDE, 3), np.uint8)
    assert captioner.graphs.encoder(nothing).shape == (0, tiny.IMAGE)


def test_pixels_that_do_not_lie_in_a_row_are_copied_as_they_are_seen(bundle, monkeypatch):
    pixels = np.random.default_rng(3).integers(0, 256, (2, tiny.SIDE, tiny.SIDE, 3), np.uint8)
    pixels = pixels[:, ::-1]
    expected = Captioner.load(bundle, device="cpu").graphs.encoder(pixels)
    fake_runtime(monkeypatch)
    np.testing.assert_array_equal(
        Captioner.load(bundle, device=CAPTURED).graphs.encoder(pixels), expected
    )


def test_a_walk_binds_nothing_to_a_graph_that_is_captured(bundle, monkeypatch):
    fake_runtime(monkeypatch)
    step = Captioner.load(bundle, device=CAPTURED).graphs.step
    walk = step.walk(np.zeros((1, tiny.IMAGE), np.float32), state=tiny.STATE)
    assert isinstance(walk, PlainWalk)


def test_what_an_answer_holds_stays_when_the_graph_is_launched_again(bundle, monkeypatch, pictures):
    fake_runtime(monkeypatch)
    encoder = Captioner.load(bundle, device=CAPTURED).graphs.encoder
    first = encoder(pictures[0][None])
    kept = first.copy()
    assert not np.array_equal(encoder(pictures[1][None]), kept)
    np.testing.assert_array_equal(first, kept)


def test_threads_that_share_a_captioner_launch_one_after_the_other(bundle, monkeypatch, pictures):
    expected = words(map(Captioner.load(bundle, device="cpu").caption, pictures))
    fake_runtime(monkeypatch, bound=(noted := []))
    captioner = Captioner.load(bundle, device=CAPTURED)
    noted.clear()
    for _ in range(2):  # threads that are new each time
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(captioner.caption, pictures * 2))
        assert words(found) == expected * 2
    captured = [each for each in noted if each.startswith("capture")]
    assert len(captured) <= len(set(captured)) * 2  # of two graphs


def test_two_captioners_launch_one_after_the_other(bundle, monkeypatch, pictures):
    expected = words(map(Captioner.load(bundle, device="cpu").caption, pictures))
    fake_runtime(monkeypatch)
    captioners = [Captioner.load(bundle, device=CAPTURED) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda each: words(map(each.caption, pictures)), captioners)
        assert list(found) == [expected, expected]


def test_both_graphs_are_opened_for_it_or_with_the_step_on_the_cpu_the_encoder(bundle, monkeypatch):
    created = fake_runtime(monkeypatch)
    assert str(Captioner.load(bundle, device="cuda+graphs").graphs.placement) == CAPTURED
    assert created == [OPTIONS, OPTIONS]
    created.clear()
    captioner = Captioner.load(bundle, device="cuda:0+graphs+cpu", threads=3)
    assert created == [OPTIONS, ["CPUExecutionProvider"]]
    assert (captioner.graphs.threads, captioner.graphs.concurrency) == (3, 1)


def test_a_launch_that_fails_once_is_captured_anew(bundle, monkeypatch, pictures):
    expected = Captioner.load(bundle, device="cpu").caption(pictures[0]).text
    fake_runtime(monkeypatch, bound=(noted := []))
    captioner = Captioner.load(bundle, device=CAPTURED)
    opened = captioner.graphs.encoder._session
    broken = opened.graph()

    def failing(binding, options):
        raise RuntimeError("CUDA failure 700")

    broken._session.run_with_iobinding = failing
    noted.clear()
    assert captioner.caption(pictures[0]).text == expected
    assert opened.graph() is not broken
    assert "capture 1" in noted


@pytest.mark.parametrize("failing", ["image", "log_probs"])
def test_a_cuda_that_cannot_capture_is_refused_when_it_is_opened(bundle, monkeypatch, failing):
    fake_runtime(monkeypatch, run_error=RuntimeError("capture failed"), failing=failing)
    with pytest.raises(DeviceError, match=r"cuda:0\+graphs failed.*capture failed"):
        Captioner.load(bundle, device=CAPTURED)


def test_a_probe_of_the_device_captures_too(monkeypatch):
    fake_runtime(monkeypatch, bound=(noted := []))
    placement = parse_placement(CAPTURED)
    assert try_device(placement.encoder) == "CUDAExecutionProvider"
    assert noted == ["1 rows plainly", "capture 1", "launch 1", "launch 1"]


def test_a_capture_that_answers_otherwise_than_its_kernels_is_refused(bundle, monkeypatch):
    fake_runtime(monkeypatch, wrong=0.01)
    with pytest.raises(DeviceError, match="a CUDA graph of 1 rows gives other numbers than its"):
        Captioner.load(bundle, device=CAPTURED)


@pytest.mark.parametrize("version", ["1.22.0", "1.31.0", "1.9.3"])
def test_a_runtime_whose_captures_read_freed_memory_is_refused(bundle, monkeypatch, version):
    fake_runtime(monkeypatch, version=version)
    with pytest.raises(DeviceError, match=r"upgrade onnxruntime-gpu to 1\.31\.1.*--device cuda:0$"):
        Captioner.load(bundle, device=CAPTURED)
    assert Captioner.load(bundle, device="cuda").graphs.placement == parse_placement("cuda")


def test_what_cuda_holds_is_let_go_in_the_thread_that_launches():
    ended = []

    class Held:
        def __del__(self):
            ended.append(threading.current_thread().name)

    graph = CapturedGraph(Held, onnxruntime, ("cpu", 0))
    del graph
    captured._launching.submit(gc.collect).result()
    assert [name.rpartition("_")[0] for name in ended] == ["cuda graphs"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_opens_in_a_thread_of_its_own():
    # In a process of its own: Python warns of a fork where there are threads.
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], timeout=60, check=False)
    assert done.returncode == 0


def test_the_calls_are_those_of_the_real_runtime(bundle, pictures):
    encoder = Captioner.load(bundle, device="cpu").graphs.encoder
    session = encoder._session.graph()
    graph = CapturedGraph(lambda: session, onnxruntime, ("cpu", 0))
    for count in (1, 2, 1, MOST_ROWS + 1):
        for pixels in (np.stack(pictures[:count]), np.stack(pictures[-count:])[:, ::-1]):
            (found,) = graph.run(["image"], {"pixels": pixels})
            np.testing.assert_array_equal(found, encoder(pixels))
