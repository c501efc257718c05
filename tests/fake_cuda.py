"""ONNX Runtime with a CUDA that is made up, and a tiny model with int8 graphs beside its own."""

import sys
import time
import types
from threading import Lock, get_ident

import numpy as np
import onnxruntime
import tiny

from mrnn_edge.bundle import describe_graph
from mrnn_edge.config import GraphRole

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


class OnDevice:
    """A tensor on the device: what is there is reached by copies alone."""

    def __init__(self, array, device, index):
        assert device == "cuda"
        self.index, self.held = index, array

    @classmethod
    def ortvalue_from_numpy(cls, array, device, index):
        return cls(array.copy(), device, index)

    @classmethod
    def ortvalue_from_shape_and_type(cls, shape, dtype, device, index):
        return cls(np.full(shape, np.nan, dtype), device, index)

    def update_inplace(self, array):
        if (array.shape, array.dtype) != (self.held.shape, self.held.dtype):
            raise ValueError("another shape or type")
        must(array.flags.c_contiguous, "not contiguous")
        self.held[...] = array

    def numpy(self):
        return self.held.copy()


class RunOptions:
    def __init__(self):
        self.entries = {}

    def add_run_config_entry(self, key, value):
        self.entries[key] = value


class Misused(BaseException):
    """What no code may take for a run that failed: a real runtime would answer, and wrongly."""


def must(true, what):
    if not true:
        raise Misused(what)


class Captures:
    """CUDA graphs of a session: what was captured is run again where it was captured.

    As the real one it is launched by thread and number alone and would not see what is bound by
    then, nor what another thread asks of CUDA meanwhile, in whatever session; here that fails.
    """

    running = Lock()

    def __init__(self, wrong):
        self.places, self.wrong = {}, wrong

    def run(self, real, binding, options, note):
        number = options.entries["gpu_graph_id"]
        must(int(number) > 0, f"gpu_graph_id {number}")
        key, places = (get_ident(), number), (binding.inputs, binding.outputs)
        if key not in self.places:
            note(f"capture {number}")
            self.places[key] = tuple(map(dict, places))
        must(self.places[key] == places, "bound elsewhere than captured")
        must(Captures.running.acquire(blocking=False), "two runs at a time")
        try:
            time.sleep(0)  # another thread may come
            feeds = {name: value.held for name, value in binding.inputs.items()}
            names = list(binding.outputs)
            for name, found in zip(names, real.run(names, feeds), strict=True):
                binding.outputs[name].update_inplace(found + self.wrong)
        finally:
            Captures.running.release()
        note(f"launch {number}")


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
    bound=None,
    wrong=0.0,
    version="1.31.1-fake",
):
    """A runtime that has these providers, its CUDA the CPU in disguise; returns what is opened.

    Opening on CUDA fails with `error`, or silently falls back, or fails for int8 graphs alone; a
    run fails with `run_error`, or only those for the output `failing`. What CUDA graphs give is
    off by `wrong`.
    """
    created = []

    def session(graph, options, providers, enable_fallback, read_config_from_model):
        wanted, settings = (providers[0], {}) if isinstance(providers[0], str) else providers[0]
        captures = Captures(wrong) if settings.get("enable_cuda_graph") == "1" else None
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

        class Binding:
            """Outputs on the device live where outsiders see them by `get_outputs` alone."""

            def __init__(self):
                self.io = real.io_binding()
                self.inputs, self.outputs = {}, {}

            def bind_cpu_input(self, name, array):
                note(name)
                self.io.bind_cpu_input(name, array.copy() if on_cuda else array)

            def bind_ortvalue_output(self, name, value):
                self.outputs[name] = value

            def bind_ortvalue_input(self, name, value):
                if isinstance(value, OnDevice):
                    self.inputs[name] = value
                    return
                note(f"{name} on the device")
                self.io.bind_ortvalue_input(name, value)

            def bind_output(self, name, device, *place):
                assert device in ("cpu", "cuda" if on_cuda else "cpu")
                self.io.bind_output(name, "cpu", *(place if device == "cpu" else ()))

            def get_outputs(self):
                return self.io.get_outputs()

        on_cuda = wanted == "CUDAExecutionProvider"

        def note(what):
            if bound is not None:
                bound.append(what)

        def run(outputs, feeds, options=None):
            if captures is not None:
                must(
                    options is not None and options.entries == {"gpu_graph_id": "-1"},
                    "feeds that are gone after the run were captured",
                )
                note(f"{len(next(iter(feeds.values())))} rows plainly")
            if run_error and on_cuda and failing in (None, *outputs):
                raise run_error
            return real.run(outputs, feeds)

        def run_with_iobinding(binding, options=None):
            if captures is None:
                real.run_with_iobinding(binding.io)
                return
            if run_error and failing in (None, *binding.outputs):
                raise run_error
            captures.run(real, binding, options, note)

        return types.SimpleNamespace(
            get_providers=lambda: [got],
            run=run,
            io_binding=Binding,
            run_with_iobinding=run_with_iobinding,
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
        __version__=version,
        InferenceSession=session,
        SessionOptions=Options,
        RunOptions=RunOptions,
        OrtValue=OnDevice,
        get_available_providers=lambda: available,
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    return created
