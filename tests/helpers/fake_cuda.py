"""ONNX Runtime with a CUDA that is made up, and a tiny model with int8 graphs beside its own."""

import sys
import types

import onnxruntime
import tiny

from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.bundle.write import describe_graph

CUDA = [("CUDAExecutionProvider", {"device_id": "0"})]
BOTH = ["CUDAExecutionProvider", "CPUExecutionProvider"]
INT8 = b"int8 by its own account"


def with_int8(bundle):
    """Adds graphs of another network to the folder, as int8 and as the default; returns it."""
    network, pair = tiny.TinyNetwork(seed=4), {}
    for make, role in ((tiny.encoder_graph, GraphRole.ENCODER), (tiny.step_graph, GraphRole.STEP)):
        graph = make(network, {**tiny.metadata(role), "note": INT8.decode()})
        (bundle / f"{role}_int8.onnx").write_bytes(graph)
        entry = describe_graph(f"{role}_int8.onnx", graph)
        pair[str(role)] = {"file": entry.file, "sha256": entry.sha256, "bytes": entry.bytes}

    def change(config):
        config["precisions"]["int8"] = pair
        config["default_precision"] = "int8"

    tiny.edit_config(bundle, change)
    return bundle


def fake_runtime(
    monkeypatch,
    *,
    available=BOTH,
    error=None,
    falls_back=False,
    unloaded=None,
    run_error=None,
    failing=None,
    refuses_int8=False,
):
    """A runtime that has these providers, its CUDA the CPU in disguise; returns what is opened.

    Opening on CUDA fails with `error`, or silently falls back, or fails for int8 graphs alone; a
    run fails with `run_error`, or only those for the output `failing`.
    """
    created = []

    def session(graph, options, providers, enable_fallback, read_config_from_model):
        wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
        assert options.entries["session.load_model_format"] == "ONNX"
        if wanted == "CUDAExecutionProvider":
            assert options.entries["session.disable_cpu_ep_fallback"] == "1"
            if error:
                raise error
            if refuses_int8 and INT8 in graph:
                raise RuntimeError("This session contains graph nodes that are assigned to the CPU")
        assert (enable_fallback, read_config_from_model) == (0, 0)
        created.append(providers)
        real = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        got = "CPUExecutionProvider" if falls_back else wanted

        def run(outputs, feeds):
            if run_error and wanted != "CPUExecutionProvider" and failing in (None, *outputs):
                raise run_error
            return real.run(outputs, feeds)

        return types.SimpleNamespace(
            get_providers=lambda: [got],
            run=run,
            get_modelmeta=real.get_modelmeta,
            get_inputs=real.get_inputs,
            get_outputs=real.get_outputs,
        )

    class Options:
        def __init__(self):
            self.entries = {}

        def add_session_config_entry(self, key, value):
            self.entries[key] = value

    def preload_dlls():
        if unloaded:
            sys.stdout.write(unloaded + "\n")

    fake = types.SimpleNamespace(
        preload_dlls=preload_dlls,
        set_default_logger_severity=lambda level: None,
        __spec__=onnxruntime.__spec__,  # for who asks whether it is installed
        __version__="1.31.1-fake",
        InferenceSession=session,
        SessionOptions=Options,
        get_available_providers=lambda: available,
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    return created
