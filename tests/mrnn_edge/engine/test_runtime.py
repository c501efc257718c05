"""The contract of graphs, and honesty about devices (with a fake runtime where no GPU is)."""

import sys
import tracemalloc

import numpy as np
import onnx
import pytest
import tiny
from fake_cuda import CUDA, fake_runtime, with_int8

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.engine.graphs import OpenEncoder
from mrnn_edge.engine.opening import begin
from mrnn_edge.errors import (
    BundleError,
    DeviceError,
    ModelError,
    OptionError,
    SignatureError,
    VocabularyMismatchError,
)


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
    folder = tiny.write(tmp_path, tiny.files(gradient=gradient))
    with pytest.raises(BundleError, match="fedcba9876543210"):
        Captioner.load(folder, device="cpu").gradient  # noqa: B018


def test_a_model_without_a_gradient_graph_has_none(bundle):
    tiny.edit_config(bundle, lambda config: config.pop("gradient"))
    (bundle / "gradient.onnx").unlink()
    assert Captioner.load(bundle, device="cpu").gradient is None


@pytest.mark.parametrize(
    "device",
    [
        "gpu",
        "cuda:",
        "cuda:x",
        "CPU",
        "",
        "cpu+cpu",
        "cuda+",
        "cuda+cuda",
        "cuda:0+cpu",
        "cuda:0+graphs",
    ],
)
def test_a_device_that_is_none_is_refused(bundle, device):
    with pytest.raises(OptionError, match="expected auto, cpu, cuda"):
        Captioner.load(bundle, device=device)


@pytest.mark.parametrize("threads", [0, -1, 257, 1_000_000])
def test_threads_out_of_range_are_refused_before_any_is_made(bundle, threads):
    with pytest.raises(OptionError, match=f"threads is {threads}, expected 1 to 256"):
        Captioner.load(bundle, threads=threads)


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
    with pytest.raises(BundleError, match="is not an ONNX graph|refuses the encoder graph"):
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
    with pytest.raises(BundleError, match="not text|refuses the encoder graph"):
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

    monkeypatch.setattr(OpenEncoder, "__call__", encode)
    with pytest.raises(BundleError, match=r"no memory for a grey picture of 16 x 16 pixels"):
        Captioner.load(bundle, device="cpu")


def test_a_graph_that_opens_and_does_not_run_is_refused_at_load(tmp_path):
    network = tiny.TinyNetwork()
    network.weights["word_table"] = np.zeros((0, tiny.STATE), np.float32)
    with pytest.raises(BundleError, match=r"failed when it ran \(.*Gather"):
        Captioner.load(tiny.write(tmp_path, tiny.files(network)), device="cpu")


def test_cuda_on_a_runtime_without_cuda_is_refused_with_the_command_to_run(bundle, monkeypatch):
    fake_runtime(monkeypatch, available=["AzureExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(DeviceError, match=r"has no CUDA; run: pip install 'mrnn-edge\[gpu\]'"):
        Captioner.load(bundle, device="cuda")


def test_cuda_that_was_asked_for_is_cuda_for_both_graphs(bundle, monkeypatch):
    created = fake_runtime(monkeypatch)
    assert str(Captioner.load(bundle, device="cuda").device) == "cuda:0"
    assert created == [CUDA, CUDA]


def test_cuda_that_runs_the_encoder_alone_is_refused_when_it_is_opened(bundle, monkeypatch):
    fake_runtime(monkeypatch, run_error=RuntimeError("no kernel image"), failing="log_probs")
    with pytest.raises(DeviceError, match="no kernel image"):
        Captioner.of(begin(bundle, device="cuda"))


@pytest.fixture
def two_precisions(bundle):
    """The tiny model with graphs of another network, as int8 and as its default."""
    return with_int8(bundle)


def test_on_cuda_a_model_computes_in_float32_where_nothing_is_named(
    two_precisions, monkeypatch, picture
):
    exact = Captioner.load(two_precisions, device="cpu", precision="float32").caption(picture)
    small = Captioner.load(two_precisions, device="cpu").caption(picture)
    assert (exact.precision, small.precision) == ("float32", "int8")
    fake_runtime(monkeypatch, refuses_int8=True)
    captioner = Captioner.load(two_precisions, device="cuda")
    found = captioner.caption(picture)
    assert captioner.precision == found.precision == "float32"
    assert found.log2_prob == pytest.approx(exact.log2_prob, abs=1e-4)
    assert found.log2_prob != pytest.approx(small.log2_prob, abs=1e-2)


@pytest.mark.parametrize("refused", [True, False])
def test_int8_that_was_asked_for_on_cuda_is_had_or_refused(two_precisions, monkeypatch, refused):
    fake_runtime(monkeypatch, refuses_int8=refused)
    if refused:
        with pytest.raises(DeviceError, match="assigned to the CPU"):
            Captioner.load(two_precisions, device="cuda", precision="int8")
    else:
        assert Captioner.load(two_precisions, device="cuda", precision="int8").precision == "int8"


def test_a_model_of_int8_alone_is_tried_as_it_is_on_cuda(two_precisions, monkeypatch):
    tiny.edit_config(two_precisions, lambda config: config["precisions"].pop("float32"))
    fake_runtime(monkeypatch)
    assert Captioner.load(two_precisions, device="cuda").precision == "int8"


def test_cuda_captions_are_the_cpus(bundle, monkeypatch):
    pixels = np.random.default_rng(2).integers(0, 256, (6, tiny.SIDE, tiny.SIDE, 3), np.uint8)
    expected = Captioner.load(bundle, device="cpu").caption_batch(list(pixels))
    fake_runtime(monkeypatch)
    captioner = Captioner.load(bundle, device="cuda:0")
    found = captioner.caption_batch(list(pixels))
    assert [each.text for each in found] == [each.text for each in expected]
    np.testing.assert_allclose(
        [each.log2_prob for each in found], [each.log2_prob for each in expected], atol=1e-5
    )


@pytest.mark.parametrize("silent", [True, False])
def test_a_broken_cuda_that_was_asked_for_is_refused(bundle, monkeypatch, silent):
    # The real runtime does either: an exception, or a CPU session without a word.
    fake_runtime(
        monkeypatch,
        error=None if silent else RuntimeError("no CUDA-capable device is detected"),
        falls_back=silent,
    )
    with pytest.raises(DeviceError, match=r"cuda:1.*use --device cpu"):
        Captioner.load(bundle, device="cuda:1")


def test_the_library_that_cuda_lacks_is_named_and_nothing_is_printed(bundle, monkeypatch, capsys):
    # Seen from onnxruntime-gpu 1.31.1: the exception tells nothing, standard output does.
    fake_runtime(
        monkeypatch,
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
