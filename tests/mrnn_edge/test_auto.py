"""`auto` beside a CUDA that is made up: what is taken, measured, remembered and said."""

import json
import sys
import time

import numpy as np
import pytest
import tiny
from fake_cuda import CUDA, fake_runtime, with_int8

from mrnn_edge import Captioner, auto
from mrnn_edge.errors import BundleError, DeviceError
from mrnn_edge.opening import begin
from mrnn_edge.placement import CANDIDATES, Measured
from mrnn_edge.placement_memory import BELIEVED_S

CPU = ["CPUExecutionProvider"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of caches, an empty one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fastest(placement):
    """What was measured where this one is the fastest."""
    return Measured({each: 3.0 if str(each) == placement else 8.0 for each in CANDIDATES})


@pytest.fixture
def measured(monkeypatch):
    """Gives times in place of measuring them; the list of the pairs that were handed over."""
    handed = []

    def gives(placement):
        def measure(pairs, config):
            handed.append(dict(pairs))
            return fastest(placement)

        monkeypatch.setattr(auto, "measure", measure)
        return handed

    return gives


def test_auto_without_cuda_is_the_cpu(bundle, monkeypatch):
    created = fake_runtime(monkeypatch, available=["CPUExecutionProvider"])
    captioner = Captioner.load(bundle)
    assert str(captioner.device) == "cpu"
    assert captioner.graphs.notice is None
    assert created == [["CPUExecutionProvider"], ["CPUExecutionProvider"]]


def test_auto_is_the_cpu_where_cuda_opens_a_model_and_cannot_run_it(bundle, monkeypatch):
    fake_runtime(
        monkeypatch,
        available=["CUDAExecutionProvider", "CPUExecutionProvider"],
        run_error=RuntimeError("CUDNN_STATUS_NOT_INITIALIZED"),
    )
    captioner = Captioner.load(bundle)
    assert str(captioner.device) == "cpu"
    assert "CUDNN_STATUS_NOT_INITIALIZED" in captioner.graphs.notice
    with pytest.raises(DeviceError, match="CUDNN_STATUS_NOT_INITIALIZED"):
        Captioner.load(bundle, device="cuda")


def test_auto_with_a_broken_cuda_is_the_cpu_and_says_why(bundle, monkeypatch):
    created = fake_runtime(
        monkeypatch,
        available=["CUDAExecutionProvider", "CPUExecutionProvider"],
        error=RuntimeError("libcublasLt.so.13: cannot open shared object file"),
    )
    captioner = Captioner.load(bundle)
    assert str(captioner.device) == "cpu"
    assert "libcublasLt.so.13" in captioner.graphs.notice
    # The pair that is used, and no other before it.
    assert created.count(["CPUExecutionProvider"]) == 2


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        ("cpu", ["cpu", "cpu"]),
        ("cuda:0", ["cuda:0", "cuda:0"]),
        ("cuda:0+cpu", ["cuda:0", "cpu"]),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 2])
def test_auto_with_a_working_cuda_takes_what_was_measured_fastest_and_says_so(
    bundle, monkeypatch, cache, measured, placement, expected, concurrency
):
    fake_runtime(monkeypatch)
    measured(placement)
    for _ in ("measured", "remembered"):
        captioner = Captioner.load(bundle, threads=2, concurrency=concurrency)
        encoder, step = captioner.graphs.encoder._session, captioner.graphs.step._session
        assert [str(session.device) for session in (encoder, step)] == expected
        assert str(captioner.graphs.placement) == placement
        assert str(captioner.device) == expected[0]
        assert captioner.graphs.concurrency == (concurrency if placement == "cpu" else 1)
        assert captioner.graphs.notice.startswith(f"device auto: {placement}; ")
        assert str(cache) in captioner.graphs.notice


def test_auto_measures_once_a_machine_with_all_threads_for_one_call(bundle, monkeypatch, measured):
    fake_runtime(monkeypatch)
    handed = measured("cpu")
    for concurrency in (2, 1, 2):
        Captioner.load(bundle, threads=2, concurrency=concurrency)
    (pairs,) = handed
    assert sorted((str(each), pairs[each].concurrency) for each in pairs) == [
        ("cpu", 1),
        ("cuda:0", 1),
        ("cuda:0+cpu", 1),
    ]
    Captioner.load(bundle, threads=1)
    assert len(handed) == 2, "other threads are another measurement"


def test_what_was_measured_is_kept_open_and_what_is_remembered_is_opened_alone(
    bundle, monkeypatch, measured
):
    created = fake_runtime(monkeypatch)
    measured("cpu")
    Captioner.load(bundle)
    assert sorted(created, key=str) == sorted([CPU, CPU, CUDA, CUDA, CUDA, CPU], key=str)
    created.clear()
    Captioner.load(bundle)
    assert created == [CPU, CPU], "no CUDA is touched for a CPU that is known to be faster"


def test_the_real_measurement_runs_every_candidate_and_leaves_one_that_works(
    bundle, monkeypatch, cache
):
    fake_runtime(monkeypatch)
    captioner = Captioner.load(bundle)
    (kept,) = json.loads((cache / "mrnn-edge" / "placement.json").read_text()).values()
    assert set(kept) == {"cpu", "cuda:0", "cuda:0+cpu"}
    assert all(ms > 0 for ms in kept.values())
    pixels = np.full((tiny.SIDE, tiny.SIDE, 3), 200, np.uint8)
    expected = Captioner.load(bundle, device="cpu").caption(pixels)
    assert captioner.caption(pixels).text == expected.text


def test_auto_is_the_cpu_where_the_step_alone_fails_on_cuda(bundle, monkeypatch):
    fake_runtime(monkeypatch, run_error=RuntimeError("no kernel image"), failing="log_probs")
    captioner = Captioner.load(bundle)
    assert str(captioner.graphs.placement) == "cpu"
    assert "no kernel image" in captioner.graphs.notice


def test_auto_is_the_cpu_where_cuda_fails_while_it_is_measured(bundle, monkeypatch):
    def measure(pairs, config):
        raise DeviceError("cuda:0 failed in the middle of a run")

    fake_runtime(monkeypatch)
    monkeypatch.setattr(auto, "measure", measure)
    captioner = Captioner.load(bundle)
    assert str(captioner.graphs.placement) == "cpu"
    said = "device auto: cpu; cuda:0 failed in the middle of a run (not tried again for a day: "
    assert captioner.graphs.notice.startswith(said)


def test_auto_is_the_cpu_where_the_cuda_that_is_remembered_is_gone(bundle, monkeypatch, measured):
    fake_runtime(monkeypatch)
    measured("cuda:0")
    Captioner.load(bundle)
    fake_runtime(monkeypatch, error=RuntimeError("no CUDA-capable device is detected"))
    captioner = Captioner.load(bundle)
    assert str(captioner.graphs.placement) == "cpu"
    assert "no CUDA-capable device" in captioner.graphs.notice


BROKEN = RuntimeError("libcublasLt.so.13: cannot open shared object file")


def test_a_cuda_that_failed_is_not_tried_again_and_the_reason_is_said_again(
    bundle, monkeypatch, cache
):
    fake_runtime(monkeypatch, error=BROKEN)
    first = Captioner.load(bundle)
    created = fake_runtime(monkeypatch)  # it would work by now
    second = Captioner.load(bundle)
    assert str(second.graphs.placement) == "cpu"
    assert created == [CPU, CPU]
    assert second.graphs.notice == first.graphs.notice
    assert "libcublasLt.so.13" in second.graphs.notice
    assert f"(not tried again for a day: {cache}" in second.graphs.notice


def test_a_cuda_that_is_named_is_tried_whatever_is_remembered(bundle, monkeypatch):
    fake_runtime(monkeypatch, error=BROKEN)
    Captioner.load(bundle)
    fake_runtime(monkeypatch)
    assert str(Captioner.load(bundle, device="cuda").device) == "cuda:0"


@pytest.mark.parametrize("change", ["threads", "runtime", "gpus", "model", "a day later"])
def test_a_failure_is_forgotten_where_what_it_hangs_on_has_changed(
    bundle, monkeypatch, measured, change
):
    fake_runtime(monkeypatch, error=BROKEN)
    Captioner.load(bundle, threads=2)
    fake_runtime(monkeypatch)
    measured("cuda:0")
    if change == "runtime":
        monkeypatch.setattr(sys.modules["onnxruntime"], "__version__", "2.0-fake")
    elif change == "gpus":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    elif change == "model":
        with_int8(bundle)
    elif change == "a day later":
        tomorrow = time.time() + BELIEVED_S
        monkeypatch.setattr(time, "time", lambda: tomorrow)
    captioner = Captioner.load(bundle, threads=1 if change == "threads" else 2)
    assert str(captioner.graphs.placement) == "cuda:0"


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_cuda_that_was_measured_is_tried_again_after_it_failed(
    bundle, monkeypatch, measured, concurrency
):
    fake_runtime(monkeypatch)
    handed = measured("cuda:0")
    Captioner.load(bundle, threads=2)
    fake_runtime(monkeypatch, error=RuntimeError("out of memory"))
    failed = Captioner.load(bundle, threads=2, concurrency=concurrency)
    assert failed.graphs.notice.startswith("device auto: cpu; ")
    assert "not tried again" not in failed.graphs.notice
    fake_runtime(monkeypatch)
    captioner = Captioner.load(bundle, threads=2, concurrency=concurrency)
    assert str(captioner.graphs.placement) == "cuda:0"
    assert len(handed) == 1


def test_a_cuda_that_fails_right_after_it_was_measured_keeps_its_times(
    bundle, monkeypatch, measured
):
    fake_runtime(monkeypatch)
    handed = measured("cuda:0")
    real = auto.measure

    def measure(pairs, config):
        fake_runtime(monkeypatch, error=RuntimeError("out of memory"))  # from here on
        return real(pairs, config)

    monkeypatch.setattr(auto, "measure", measure)
    failed = Captioner.load(bundle, threads=2, concurrency=2)
    assert str(failed.graphs.placement) == "cpu"
    monkeypatch.setattr(auto, "measure", real)
    fake_runtime(monkeypatch)
    assert str(Captioner.load(bundle, threads=2).graphs.placement) == "cuda:0"
    assert len(handed) == 1


def test_a_model_that_cannot_be_opened_says_nothing_of_cuda(bundle, monkeypatch, measured):
    fake_runtime(monkeypatch)
    measured("cuda:0")
    whole = (bundle / "step.onnx").read_bytes()
    (bundle / "step.onnx").write_bytes(whole[:-1])
    with pytest.raises(BundleError, match="shorter"):
        Captioner.load(bundle)
    (bundle / "step.onnx").write_bytes(whole)
    assert str(Captioner.load(bundle).graphs.placement) == "cuda:0"


@pytest.mark.parametrize("weight", ["projection_bias", "softmax_bias"])
def test_weights_that_are_not_finite_are_the_model_s_fault_beside_a_cuda_too(
    tmp_path, monkeypatch, weight
):
    network = tiny.TinyNetwork()
    network.weights[weight][0] = np.nan
    folder = tiny.write(tmp_path / "model", tiny.files(network))
    fake_runtime(monkeypatch)
    captioner = Captioner.of(begin(folder))
    assert str(captioner.graphs.placement) == "cpu"
    with pytest.raises(BundleError, match="not finite"):
        captioner.check()


@pytest.mark.parametrize(
    ("placement", "precision"), [("cpu", "int8"), ("cuda:0", "float32"), ("cuda:0+cpu", "float32")]
)
def test_auto_compares_the_cpu_in_the_model_s_default_with_cuda_in_float32(
    bundle, monkeypatch, measured, placement, precision
):
    fake_runtime(monkeypatch, refuses_int8=True)
    handed = measured(placement)
    for _ in ("measured", "remembered"):
        captioner = Captioner.load(with_int8(bundle))
        assert captioner.precision == precision
        assert captioner.caption(np.zeros((9, 9, 3), np.uint8)).precision == precision
    (pairs,) = handed
    assert {str(each): str(pair.precision) for each, pair in pairs.items()} == {
        "cpu": "int8",
        "cuda:0": "float32",
        "cuda:0+cpu": "float32",
    }


def test_auto_with_a_precision_that_cuda_refuses_is_the_cpu(bundle, monkeypatch):
    fake_runtime(monkeypatch, refuses_int8=True)
    captioner = Captioner.load(with_int8(bundle), precision="int8")
    assert (str(captioner.graphs.placement), captioner.precision) == ("cpu", "int8")
    assert "assigned to the CPU" in captioner.graphs.notice


def test_auto_works_without_a_home_to_remember_in(bundle, monkeypatch, measured):
    fake_runtime(monkeypatch)
    measured("cuda:0")
    monkeypatch.setattr("mrnn_edge.placement_memory.memory_file", lambda: None)
    monkeypatch.setattr(auto, "memory_file", lambda: None)
    captioner = Captioner.load(bundle)
    assert captioner.graphs.notice.endswith("(not kept)")
