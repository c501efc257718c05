"""A model that is opened in a thread, and what its opening raises."""

import threading

import pytest

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
    real = runtime_module._import_runtime
    monkeypatch.setattr(
        runtime_module,
        "_import_runtime",
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

    monkeypatch.setattr(runtime_module, "_import_runtime", none)
    opening = begin(bundle, device="cpu")
    with pytest.raises(DeviceError, match="cannot be imported"):
        Captioner.of(opening)
