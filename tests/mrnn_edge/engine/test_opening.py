"""A model that is opened in a thread, and what its opening raises."""

import threading

import numpy as np
import pytest
import tiny
from fake_cuda import CUDA, fake_runtime, with_int8

from mrnn_edge import Captioner
from mrnn_edge.engine import runtime as runtime_module
from mrnn_edge.engine.opening import begin
from mrnn_edge.engine.threads import Started
from mrnn_edge.errors import BundleError, DeviceError, ModelNotFoundError, OptionError


def test_a_call_gives_its_result_each_time_that_it_is_waited_for():
    started = Started(lambda: threading.current_thread().name, name="ours")
    assert [started.wait(), started.wait()] == ["ours", "ours"]


def test_a_call_that_fails_raises_where_it_is_waited_for_and_not_before():
    started = Started(lambda: 1 // 0, name="ours")
    started.join()
    with pytest.raises(ZeroDivisionError):
        started.wait()


def test_the_caller_goes_on_while_the_call_runs():
    gate = threading.Event()
    started = Started(lambda: gate.wait(timeout=60), name="ours")
    gate.set()  # reached at all only if the call does not hold its caller
    assert started.wait()


def test_a_model_that_was_begun_captions_as_one_that_was_loaded(bundle, picture):
    captioner = Captioner.of(begin(bundle, device="cpu", threads=1))
    loaded = Captioner.load(bundle, device="cpu", threads=1)
    assert captioner.caption(picture).text == loaded.caption(picture).text
    captioner.check()


def test_the_folder_is_checked_at_once_and_the_graphs_when_they_are_waited_for(bundle, tmp_path):
    with pytest.raises(ModelNotFoundError):
        begin(tmp_path / "none")
    with pytest.raises(OptionError, match="float16"):
        begin(bundle, precision="float16")
    (bundle / "encoder.onnx").write_bytes(b"")
    opening = begin(bundle, device="cpu")
    with pytest.raises(BundleError, match=r"encoder\.onnx is shorter"):
        Captioner.of(opening)


@pytest.mark.parametrize("graph", ["encoder", "step"])
def test_no_thread_is_left_behind_by_a_graph_that_cannot_be_opened(bundle, graph):
    before = set(threading.enumerate())
    (bundle / f"{graph}.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=rf"{graph}\.onnx is shorter"):
        Captioner.load(bundle, device="cpu")
    assert set(threading.enumerate()) <= before


def test_the_runtime_is_imported_before_the_caller_goes_on(bundle, monkeypatch):
    imported = []
    real = runtime_module.import_runtime
    monkeypatch.setattr(
        runtime_module,
        "import_runtime",
        lambda: (imported.append(threading.current_thread()), real())[1],
    )
    opening = begin(bundle, device="cpu", threads=1)
    assert imported[0] is threading.current_thread()
    opening.graphs.wait()


def test_a_runtime_that_cannot_be_imported_is_told_where_the_graphs_are_waited_for(
    bundle, monkeypatch
):
    def none() -> None:
        raise DeviceError("ONNX Runtime cannot be imported")

    monkeypatch.setattr(runtime_module, "import_runtime", none)
    opening = begin(bundle, device="cpu")
    with pytest.raises(DeviceError, match="cannot be imported"):
        Captioner.of(opening)


CPU = ["CPUExecutionProvider"]


def test_auto_without_cuda_is_the_cpu(bundle, monkeypatch):
    created = fake_runtime(monkeypatch, available=CPU)
    captioner = Captioner.load(bundle)
    assert str(captioner.device) == "cpu"
    assert captioner.graphs.notice is None
    assert created == [CPU, CPU]


def test_auto_with_a_working_cuda_is_cuda_for_both_graphs(bundle, monkeypatch, picture):
    expected = Captioner.load(bundle, device="cpu").caption(picture)
    created = fake_runtime(monkeypatch)
    captioner = Captioner.load(bundle, threads=2, concurrency=2)
    assert created == [CUDA] * 3  # the graph that tries the device, and the pair
    assert captioner.graphs.notice is None
    assert (captioner.graphs.threads, captioner.graphs.concurrency) == (1, 1)
    found = captioner.caption(picture)
    assert (found.text, found.device) == (expected.text, "cuda:0")


BROKEN = RuntimeError("libcublasLt.so.13: cannot open shared object file")


@pytest.mark.parametrize(
    "fault",
    [
        {"error": BROKEN},  # no session opens
        {"run_error": BROKEN, "failing": "sum"},  # the device does not add
        {"run_error": BROKEN, "failing": "image"},  # it adds, but has no cuDNN for the encoder
        {"run_error": BROKEN, "failing": "log_probs"},
    ],
)
def test_auto_with_a_broken_cuda_is_the_cpu_and_says_why(bundle, monkeypatch, fault):
    created = fake_runtime(monkeypatch, **fault)
    captioner = Captioner.load(bundle)
    assert str(captioner.device) == "cpu"
    assert captioner.graphs.notice.startswith("device cpu; cuda:0 ")
    assert "libcublasLt.so.13" in captioner.graphs.notice
    assert created.count(CPU) == 2
    if fault.get("failing") != "sum":
        with pytest.raises(DeviceError, match=r"libcublasLt\.so\.13"):
            Captioner.load(bundle, device="cuda")


def test_auto_with_a_cuda_that_falls_back_silently_is_the_cpu_and_says_so(bundle, monkeypatch):
    fake_runtime(monkeypatch, falls_back=True)
    assert "ONNX Runtime chose CPUExecutionProvider" in Captioner.load(bundle).graphs.notice


def test_a_model_that_cannot_be_opened_is_the_model_s_fault_beside_a_cuda_too(bundle, monkeypatch):
    fake_runtime(monkeypatch)
    whole = (bundle / "step.onnx").read_bytes()
    (bundle / "step.onnx").write_bytes(whole[:-1])
    with pytest.raises(BundleError, match="shorter"):
        Captioner.load(bundle)


@pytest.mark.parametrize("weight", ["projection_bias", "softmax_bias"])
def test_weights_that_are_not_finite_are_the_model_s_fault_beside_a_cuda_too(
    tmp_path, monkeypatch, weight
):
    network = tiny.TinyNetwork()
    network.weights[weight][0] = np.nan
    folder = tiny.write(tmp_path / "model", tiny.files(network))
    fake_runtime(monkeypatch)
    captioner = Captioner.of(begin(folder))
    assert str(captioner.device) == "cuda:0"
    with pytest.raises(BundleError, match="not finite"):
        captioner.check()


@pytest.mark.parametrize("works", [True, False])
def test_auto_is_float32_on_cuda_and_the_model_s_default_on_the_cpu(bundle, monkeypatch, works):
    fake_runtime(monkeypatch, refuses_int8=True, error=None if works else BROKEN)
    captioner = Captioner.load(with_int8(bundle))
    expected = ("cuda:0", "float32") if works else ("cpu", "int8")
    assert (str(captioner.device), captioner.precision) == expected
    assert captioner.caption(np.zeros((9, 9, 3), np.uint8)).precision == expected[1]


def test_auto_with_a_precision_that_cuda_refuses_is_the_cpu(bundle, monkeypatch):
    fake_runtime(monkeypatch, refuses_int8=True)
    captioner = Captioner.load(with_int8(bundle), precision="int8")
    assert (str(captioner.device), captioner.precision) == ("cpu", "int8")
    assert "assigned to the CPU" in captioner.graphs.notice
