"""The contract of graphs, and honesty about devices (with a fake runtime where no GPU is)."""

import json
import sys
import tracemalloc
import types

import numpy as np
import onnx
import pytest
import tiny

from mrnn_edge import Captioner, runtime
from mrnn_edge.config import GraphRole
from mrnn_edge.errors import (
    BundleError,
    DeviceError,
    ModelError,
    OptionError,
    SignatureError,
    VocabularyMismatchError,
)
from mrnn_edge.graphs import EncoderGraph
from mrnn_edge.placement import Measured, Placement


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of caches, an empty one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_graphs_compute_what_numpy_computes(captioner):
    network = tiny.TinyNetwork()
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (5, tiny.SIDE, tiny.SIDE, 3), np.uint8)
    image = captioner.graphs.encoder(pixels)
    np.testing.assert_allclose(image, network.encode(pixels), atol=1e-4)
    token = random.integers(0, len(tiny.vocabulary()), 5)
    state = random.random((5, tiny.STATE), np.float32)
    for ours, theirs in zip(
        captioner.graphs.step(token, state, image), network.step(token, state, image), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_gradient_graph_points_where_the_step_rises(captioner):
    network = tiny.TinyNetwork()
    random = np.random.default_rng(0)
    token, target = random.integers(0, len(tiny.vocabulary()), (2, 5))
    state = random.random((5, tiny.STATE), np.float32)
    image = random.normal(0, 1, (5, tiny.IMAGE)).astype(np.float32)
    gradient, _ = captioner.gradient(token, state, image, target)
    for column, move in enumerate(1e-5 * np.eye(tiny.IMAGE)):
        sides = [network.step(token, state, image + move * sign)[0] for sign in (1, -1)]
        rise = (sides[0] - sides[1])[np.arange(5), target] / 2e-5
        np.testing.assert_allclose(gradient[:, column], rise, atol=1e-4)


def test_the_gradient_graph_is_opened_at_first_use_and_held_to_its_contract(tmp_path):
    step = tiny.step_graph(tiny.TinyNetwork(), tiny.metadata(GraphRole.GRADIENT))
    captioner = Captioner.load(tiny.write(tmp_path, tiny.files(gradient=step)), device="cpu")
    with pytest.raises(SignatureError, match=r"the gradient graph is .*target int64 \[B\]"):
        captioner.gradient  # noqa: B018


def test_a_gradient_graph_of_another_model_is_refused(tmp_path):
    properties = tiny.metadata(GraphRole.GRADIENT, bundle_id="fedcba9876543210")
    gradient = tiny.gradient_graph(tiny.TinyNetwork(), properties)
    captioner = Captioner.load(tiny.write(tmp_path, tiny.files(gradient=gradient)), device="cpu")
    with pytest.raises(BundleError, match="fedcba9876543210"):
        captioner.gradient  # noqa: B018


def test_a_model_without_a_gradient_graph_has_none(bundle):
    tiny.edit_config(bundle, lambda config: config.pop("gradient"))
    (bundle / "gradient.onnx").unlink()
    assert Captioner.load(bundle, device="cpu").gradient is None


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_a_device_that_is_none_is_refused(bundle, device):
    with pytest.raises(OptionError, match="expected auto, cpu, cuda"):
        Captioner.load(bundle, device=device)


@pytest.mark.parametrize("threads", [0, -1, 257, 1_000_000])
def test_threads_out_of_range_are_refused_before_any_is_made(bundle, threads):
    with pytest.raises(OptionError, match=f"threads is {threads}, expected 1 to 256"):
        Captioner.load(bundle, threads=threads)


def test_batches_of_different_lengths_are_refused_before_they_broadcast(captioner):
    with pytest.raises(ValueError, match="2 tokens, 1 states"):
        captioner.graphs.step(
            np.zeros(2, np.int64),
            np.zeros((1, tiny.STATE), np.float32),
            np.zeros((2, tiny.IMAGE), np.float32),
        )


@pytest.mark.parametrize("token", [-1, 12])
def test_a_token_that_is_none_is_refused_before_it_counts_from_the_end(captioner, token):
    with pytest.raises(ValueError, match="expected 0 to 11"):
        captioner.graphs.step(
            np.array([3, token]),
            np.zeros((2, tiny.STATE), np.float32),
            np.zeros((2, tiny.IMAGE), np.float32),
        )


def test_a_step_graph_with_another_input_name_is_refused(tmp_path):
    step = tiny.step_graph(
        tiny.TinyNetwork(), tiny.metadata(GraphRole.STEP), state_name="memory_in"
    )
    with pytest.raises(SignatureError, match="memory_in float .*expected .*state float"):
        Captioner.load(tiny.write(tmp_path, tiny.files(step=step)), device="cpu")


def test_an_encoder_of_another_picture_size_is_refused(tmp_path):
    encoder = tiny.encoder_graph(tiny.TinyNetwork(), tiny.metadata(GraphRole.ENCODER), side=8)
    with pytest.raises(SignatureError, match=r"\[B, 8, 8, 3\]"):
        Captioner.load(tiny.write(tmp_path, tiny.files(encoder=encoder)), device="cpu")


def test_graphs_of_two_bundles_are_not_mixed(tmp_path):
    other = tiny.step_graph(
        tiny.TinyNetwork(), tiny.metadata(GraphRole.STEP, bundle_id="fedcba9876543210")
    )
    with pytest.raises(BundleError, match="fedcba9876543210"):
        Captioner.load(tiny.write(tmp_path, tiny.files(step=other)), device="cpu")


def test_an_encoder_in_place_of_a_step_is_refused(tmp_path):
    encoder = tiny.encoder_graph(tiny.TinyNetwork(), tiny.metadata(GraphRole.ENCODER))
    with pytest.raises(BundleError, match="carries graph 'encoder'"):
        Captioner.load(tiny.write(tmp_path, tiny.files(step=encoder)), device="cpu")


def test_words_of_another_export_are_refused(bundle):
    words = (bundle / "vocab.json").read_bytes().replace(b'"dog"', b'"cat"')
    (bundle / "vocab.json").write_bytes(words)
    with pytest.raises(VocabularyMismatchError, match="vocabulary_sha256"):
        Captioner.load(bundle, device="cpu")


@pytest.mark.parametrize("content", [b"<html>not a graph</html>", b"\x08\x0a" * 40])
def test_bytes_that_are_no_graph_are_refused(tmp_path, content):
    with pytest.raises(BundleError, match="is no graph|refuses the encoder graph"):
        Captioner.load(tiny.write(tmp_path, tiny.files(encoder=content)), device="cpu")


def edited(graph: bytes, change) -> bytes:
    """The graph after `change` of its parsed form."""
    model = onnx.load_from_string(graph)
    change(model)
    return model.SerializeToString()


def a_later_opset(model):
    model.opset_import[0].version = 99


def a_later_format(model):
    model.ir_version = 99


def an_unknown_operator(model):
    model.graph.node[0].op_type = "NoSuchOperator"


def a_cycle(model):
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def nothing_of_it(model):
    model.Clear()
    model.ir_version = 10


@pytest.mark.parametrize(
    "change", [a_later_opset, a_later_format, an_unknown_operator, a_cycle, nothing_of_it]
)
def test_a_graph_that_this_runtime_cannot_run_is_refused_in_one_line(tmp_path, change, capfd):
    encoder = edited(tiny.files()["encoder.onnx"], change)
    with pytest.raises(BundleError, match="upgrade onnxruntime|carries bundle_id") as caught:
        Captioner.load(tiny.write(tmp_path, tiny.files(encoder=encoder)), device="cpu")
    assert "\n" not in str(caught.value)
    assert "onnxruntime_src" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_a_graph_of_one_batch_size_is_refused(tmp_path):
    def fix(model):
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 1

    encoder = edited(tiny.files()["encoder.onnx"], fix)
    with pytest.raises(SignatureError, match=r"\[1, 16, 16, 3\].*expected.*\[B, 16, 16, 3\]"):
        Captioner.load(tiny.write(tmp_path, tiny.files(encoder=encoder)), device="cpu")


def test_a_graph_that_gives_another_shape_than_it_promises_is_refused(tmp_path):
    def flatten(model):
        names = [output.name for output in model.graph.output]
        model.graph.node[-1].output[0] = "inner"
        model.graph.node.append(onnx.helper.make_node("Concat", ["inner"] * 2, names, axis=0))

    encoder = edited(tiny.files()["encoder.onnx"], flatten)
    with pytest.raises(
        BundleError, match=r"gave image float32 \[2, 6\].*expected float32 \[1, 6\]"
    ):
        Captioner.load(tiny.write(tmp_path, tiny.files(encoder=encoder)), device="cpu")


def test_a_step_that_gives_another_shape_than_it_promises_is_refused(tmp_path):
    def flatten(model):
        (last,) = (node for node in model.graph.node if "log_probs" in node.output)
        last.output[0] = "single"
        model.graph.node.append(
            onnx.helper.make_node("Concat", ["single"] * 2, ["log_probs"], axis=0)
        )

    step = edited(tiny.files()["step.onnx"], flatten)
    with pytest.raises(BundleError, match=r"gave log_probs float32 \[2, 12\].*\[1, 12\]"):
        Captioner.load(tiny.write(tmp_path, tiny.files(step=step, prior=None)), device="cpu")


def test_a_graph_whose_names_are_no_text_is_refused(tmp_path, capfd):
    encoder = tiny.files()["encoder.onnx"].replace(b"0123456789abcdef", b"\xff" * 16)
    with pytest.raises(BundleError, match="no text|refuses the encoder graph"):
        Captioner.load(tiny.write(tmp_path, tiny.files(encoder=encoder)), device="cpu")
    assert capfd.readouterr().out == ""


def test_a_graph_that_fails_for_some_words_alone_ends_in_an_error_of_ours(tmp_path):
    def overreach(model):
        (axes,) = (each for each in model.graph.initializer if each.name == "word_table")
        axes.dims[0] = 2  # two words in place of twelve
        axes.raw_data = axes.raw_data[: 2 * 4 * tiny.STATE]

    files = tiny.files(step=edited(tiny.files()["step.onnx"], overreach))
    captioner = Captioner.load(tiny.write(tmp_path, files), device="cpu")
    with pytest.raises(ModelError, match="indices element out of data bounds"):
        captioner.score(np.zeros((tiny.SIDE, tiny.SIDE, 3), np.uint8), ["a red dog"])


def test_the_bytes_of_the_graphs_are_let_go_once_they_are_open(tmp_path):
    def swell(model):
        model.doc_string = "x" * 20_000_000

    encoder = edited(tiny.files()["encoder.onnx"], swell)
    folder = tiny.write(tmp_path, tiny.files(encoder=encoder))
    del encoder
    tracemalloc.start()
    try:
        captioner = Captioner.load(folder, device="cpu")
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert captioner.config.name == "tiny-test"
    assert peak > 20_000_000 > 10 * held


@pytest.mark.parametrize("weight", ["projection_bias", "softmax_bias", "word_table"])
def test_weights_that_are_not_finite_are_refused_at_load(tmp_path, weight):
    network = tiny.TinyNetwork()
    network.weights[weight][0] = np.nan
    with pytest.raises(BundleError, match="not finite"):
        Captioner.load(tiny.write(tmp_path, tiny.files(network)), device="cpu")


def test_a_model_for_which_there_is_no_memory_is_refused_at_load(bundle, monkeypatch):
    def encode(self, pixels):
        raise MemoryError

    monkeypatch.setattr(EncoderGraph, "__call__", encode)
    with pytest.raises(BundleError, match=r"no memory for a grey picture of 16 x 16 pixels"):
        Captioner.load(bundle, device="cpu")


def test_a_graph_that_opens_and_does_not_run_is_refused_at_load(tmp_path):
    network = tiny.TinyNetwork()
    network.weights["word_table"] = np.zeros((0, tiny.STATE), np.float32)
    with pytest.raises(BundleError, match=r"failed when it ran \(.*Gather"):
        Captioner.load(tiny.write(tmp_path, tiny.files(network)), device="cpu")


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


def test_cuda_on_a_runtime_without_cuda_is_refused_with_the_command_to_run(bundle, monkeypatch):
    fake_runtime(monkeypatch, available=["AzureExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(DeviceError, match=r"has no CUDA; run: pip install 'mrnn-edge\[gpu\]'"):
        Captioner.load(bundle, device="cuda")


def test_auto_without_cuda_is_the_cpu(bundle, monkeypatch):
    created = fake_runtime(monkeypatch, available=["CPUExecutionProvider"])
    captioner = Captioner.load(bundle)
    assert str(captioner.device) == "cpu"
    assert captioner.graphs.notice is None
    assert created == [["CPUExecutionProvider"], ["CPUExecutionProvider"]]


CUDA = [("CUDAExecutionProvider", {"device_id": "0"})]
BOTH = ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_cuda_that_was_asked_for_is_cuda_for_both_graphs(bundle, monkeypatch):
    created = fake_runtime(monkeypatch, available=BOTH)
    assert str(Captioner.load(bundle, device="cuda").device) == "cuda:0"
    assert created == [CUDA, CUDA]


MEASURED = {
    Placement.CPU: Measured(cpu_encoder=9, cpu_steps=2, cuda_encoder=10, cuda_steps=6),
    Placement.CUDA: Measured(cpu_encoder=9, cpu_steps=2, cuda_encoder=1, cuda_steps=1),
    Placement.MIXED: Measured(cpu_encoder=9, cpu_steps=2, cuda_encoder=1, cuda_steps=6),
}


@pytest.mark.parametrize("placement", Placement)
def test_auto_with_a_working_cuda_takes_what_was_measured_fastest_and_says_so(
    bundle, monkeypatch, cache, placement
):
    fake_runtime(monkeypatch, available=BOTH)
    monkeypatch.setattr(runtime, "measure", lambda *_: MEASURED[placement])
    captioner = Captioner.load(bundle)
    encoder, step = captioner.graphs.encoder._session, captioner.graphs.step._session
    found = [str(session.device) for session in (encoder, step)]
    assert (
        found
        == {
            Placement.CPU: ["cpu", "cpu"],
            Placement.CUDA: ["cuda:0", "cuda:0"],
            Placement.MIXED: ["cuda:0", "cpu"],
        }[placement]
    )
    assert str(captioner.device) == found[0]
    assert f"device auto: {placement}" in captioner.graphs.notice
    assert str(cache) in captioner.graphs.notice


def test_auto_measures_once_a_machine_and_remembers(bundle, monkeypatch, cache):
    fake_runtime(monkeypatch, available=BOTH)
    measured = []
    monkeypatch.setattr(
        runtime, "measure", lambda *_: measured.append(1) or MEASURED[Placement.MIXED]
    )
    notices = {Captioner.load(bundle).graphs.notice for _ in range(3)}
    assert len(notices) == len(measured) == 1
    Captioner.load(bundle, threads=1)
    assert len(measured) == 2, "other threads are another measurement"


def test_the_real_measurement_runs_both_devices_and_leaves_one_that_works(
    bundle, monkeypatch, cache
):
    fake_runtime(monkeypatch, available=BOTH)
    captioner = Captioner.load(bundle)
    (kept,) = json.loads((cache / "mrnn-edge" / "placement.json").read_text()).values()
    assert set(kept) == {"cpu_encoder", "cpu_steps", "cuda_encoder", "cuda_steps"}
    assert all(ms > 0 for ms in kept.values())
    pixels = np.full((tiny.SIDE, tiny.SIDE, 3), 200, np.uint8)
    expected = Captioner.load(bundle, device="cpu").caption(pixels)
    assert captioner.caption(pixels).text == expected.text


def test_cuda_captions_are_the_cpus_and_the_state_stays_on_the_device(bundle, monkeypatch):
    pixels = np.random.default_rng(2).integers(0, 256, (6, tiny.SIDE, tiny.SIDE, 3), np.uint8)
    expected = Captioner.load(bundle, device="cpu").caption_batch(list(pixels))
    fake_runtime(monkeypatch, available=BOTH, bound=(bound := []))
    captioner = Captioner.load(bundle, device="cuda:0")
    bound.clear()
    found = captioner.caption_batch(list(pixels))
    assert [each.text for each in found] == [each.text for each in expected]
    np.testing.assert_allclose(
        [each.log2_prob for each in found], [each.log2_prob for each in expected], atol=1e-5
    )
    bound.clear()
    captioner.caption(pixels[0], beam=1)
    steps = bound.count("token")
    # The image vector goes to the device once; a state once, zeros, and then stays there.
    assert [bound.count(name) for name in ("image", "state", "state on the device")] == [
        1,
        1,
        steps - 1,
    ]


def test_auto_with_a_broken_cuda_is_the_cpu_and_says_why(bundle, monkeypatch):
    fake_runtime(
        monkeypatch,
        available=["CUDAExecutionProvider", "CPUExecutionProvider"],
        error=RuntimeError("libcublasLt.so.13: cannot open shared object file"),
    )
    captioner = Captioner.load(bundle)
    assert str(captioner.device) == "cpu"
    assert "libcublasLt.so.13" in captioner.graphs.notice


@pytest.mark.parametrize("silent", [True, False])
def test_a_broken_cuda_that_was_asked_for_is_refused(bundle, monkeypatch, silent):
    # The real runtime does either: an exception, or a CPU session without a word.
    fake_runtime(
        monkeypatch,
        available=["CUDAExecutionProvider", "CPUExecutionProvider"],
        error=None if silent else RuntimeError("no CUDA-capable device is detected"),
        falls_back=silent,
    )
    with pytest.raises(DeviceError, match=r"cuda:1.*use --device cpu"):
        Captioner.load(bundle, device="cuda:1")


def test_the_library_that_cuda_lacks_is_named_and_nothing_is_printed(bundle, monkeypatch, capsys):
    # Seen from onnxruntime-gpu 1.31.1: the exception tells nothing, standard output does.
    fake_runtime(
        monkeypatch,
        available=["CUDAExecutionProvider", "CPUExecutionProvider"],
        error=RuntimeError("This session contains graph nodes that are assigned to the CPU"),
        unloaded="Failed to load libcublasLt.so.13: no such file",
    )
    with pytest.raises(DeviceError, match=r"Failed to load libcublasLt\.so\.13"):
        Captioner.load(bundle, device="cuda")
    assert capsys.readouterr().out == ""


def test_a_missing_runtime_is_refused_with_the_command_to_run(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match=r"pip install 'mrnn-edge\[cpu\]'"):
        Captioner.load(bundle)


def fake_runtime(
    monkeypatch,
    *,
    available,
    error=None,
    falls_back=False,
    unloaded=None,
    run_error=None,
    bound=None,
):
    """A runtime that has these providers; CUDA fails with `error`, or silently falls back."""
    import onnxruntime

    created = []

    def session(graph, options, providers, enable_fallback, read_config_from_model):
        wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
        assert options.entries["session.load_model_format"] == "ONNX"
        if wanted == "CUDAExecutionProvider":
            assert options.entries["session.disable_cpu_ep_fallback"] == "1"
            if error:
                raise error
        assert (enable_fallback, read_config_from_model) == (0, 0)
        created.append(providers)
        real = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        got = "CPUExecutionProvider" if falls_back else wanted

        class Binding:
            """Outputs on the device live where outsiders see them by `get_outputs` alone."""

            def __init__(self):
                self.io = real.io_binding()

            def bind_cpu_input(self, name, array):
                note(name)
                self.io.bind_cpu_input(name, array.copy() if on_cuda else array)

            def bind_ortvalue_input(self, name, value):
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

        def run(outputs, feeds):
            if run_error and wanted == "CUDAExecutionProvider":
                raise run_error
            return real.run(outputs, feeds)

        return types.SimpleNamespace(
            get_providers=lambda: [got],
            run=run,
            io_binding=Binding,
            run_with_iobinding=lambda binding: real.run_with_iobinding(binding.io),
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
        __version__="1.0-fake",
        InferenceSession=session,
        SessionOptions=Options,
        get_available_providers=lambda: available,
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    return created
