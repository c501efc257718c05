"""int8 graphs of a tiny model: what they compute, what is measured, what is written or refused."""

import json
from dataclasses import replace

import dataset
import numpy as np
import onnx
import onnxruntime
import pytest
import small_cnn
import tiny
import torch
from onnx import numpy_helper

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import GraphRole, Precision
from mrnn_edge.bundle.folder import load_bundle, read_metrics
from mrnn_edge.errors import BundleError, ModelError, OptionError
from mrnn_edge.language.captions import search_space
from mrnn_edge.verify import verify_model
from mrnn_edge_export.card import render_card
from mrnn_edge_export.int8 import encoder as int8_encoder
from mrnn_edge_export.int8 import quantize as quantize_module
from mrnn_edge_export.int8.encoder import calibrate_encoder, worst_layers
from mrnn_edge_export.int8.qdq import rounded, weight_scales
from mrnn_edge_export.int8.quantize import quantize_model
from mrnn_edge_export.int8.step import quantize_step, sentence_feeds
from mrnn_edge_export.modules import export_step
from mrnn_edge_train.network.model import MRNN, Cell, ModelSizes

ENCODER, STEP = tiny.metadata(GraphRole.ENCODER), tiny.metadata(GraphRole.STEP)


def with_card(folder):
    """The model with the card that export writes: one that was edited is not written again."""
    bundle = load_bundle(folder)
    (folder / "README.md").write_bytes(render_card(bundle.config, read_metrics(folder)))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    return dataset.write(folder, train=24, dev=6, test=2, side=tiny.SIDE)


@pytest.fixture(scope="module")
def step_bytes():
    torch.manual_seed(4)
    sizes = ModelSizes(
        vocabulary=len(tiny.vocabulary()), feature=5, embedding=5, state=tiny.STATE,
        multimodal=tiny.IMAGE, cell=Cell.GRU, tied=True,
    )  # fmt: skip
    return export_step(MRNN(sizes).eval(), STEP)


@pytest.fixture
def model(tmp_path, step_bytes, captioner):
    metrics = {"parity": {"reference": tiny.reference(captioner)}}
    files = tiny.files(encoder=small_cnn.encoder(ENCODER), step=step_bytes, metrics=metrics)
    return with_card(tiny.write(tmp_path / "model", files))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(5).integers(0, 256, (40, tiny.SIDE, tiny.SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def calibrated(pixels):
    return calibrate_encoder(small_cnn.encoder(ENCODER), list(pixels[:20]), ENCODER)


@pytest.fixture(scope="module")
def int8_step(step_bytes):
    graph = onnxruntime.InferenceSession(step_bytes)
    images = np.random.default_rng(2).normal(0, 1, (8, tiny.IMAGE)).astype(np.float32)
    sentences = [list(range(3, 3 + length)) for length in range(8)]

    def step(token, state, image):
        return tuple(graph.run(None, {"token": token, "state": state, "image": image}))

    return quantize_step(step_bytes, sentence_feeds(step, images, sentences, _space()), STEP)


def _space():
    return search_space(tiny.vocabulary(), state=tiny.STATE)


def _run(data, feeds, *, optimised=True):
    options = onnxruntime.SessionOptions()
    if not optimised:
        off = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = off
    return onnxruntime.InferenceSession(data, options).run(None, feeds)


def _quantize(model, data, out=None, **changes):
    wishes = {"calibrate": 10, "max_drop": 10.0, "command": "how it was made", "threads": 1}
    wishes |= changes
    return quantize_model(str(model), out, data=[data], **wishes)


@pytest.mark.parametrize(
    "shape", [(7, 12, 1, 1), (7, 13, 1, 1), (9, 31), (6, 1, 3, 3), (5, 4, 3, 3)]
)
def test_no_two_products_of_a_pair_can_leave_sixteen_bits(shape):
    weight = np.random.default_rng(3).standard_t(2, shape).astype(np.float32)
    weight[0] = 1.0  # every pair is the largest there is
    scales = weight_scales(weight).reshape(-1, *(1,) * (weight.ndim - 1))
    held = np.rint(weight / scales).astype(int)
    assert np.abs(held).max() <= 127
    np.testing.assert_allclose(rounded(weight), held * scales, rtol=1e-6)
    rows = held.reshape(len(held), -1)
    if shape[1:] == (1, 3, 3):
        assert np.abs(rows).max() == 127  # not summed in pairs: all eight bits
        return
    padded = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    if weight.ndim == 4 and shape[2] > 1:  # in any order
        padded = np.sort(padded, axis=1)[:, -2:], np.sort(-padded, axis=1)[:, -2:]
        sums = np.stack([side.sum(axis=1) for side in padded])
    else:
        pairs = padded.reshape(len(padded), -1, 2)
        sums = np.stack([np.maximum(side, 0).sum(axis=2) for side in (pairs, -pairs)])
    assert 255 * sums.max() <= 32767
    assert sums.max() >= 126  # and hardly less than could be


def test_channels_of_zeros_stay_zero():
    weight = np.zeros((2, 4, 1, 1), np.float32)
    assert (weight_scales(weight) > 0).all()
    assert not rounded(weight).any()


def test_the_pixels_are_the_first_quantised_tensor(calibrated):
    graph = onnx.load_model_from_string(calibrated.quantize()).graph
    (transpose,) = [node for node in graph.node if "pixels" in node.input]
    (reader,) = [node for node in graph.node if transpose.output[0] in node.input]
    assert (transpose.op_type, reader.op_type) == ("Transpose", "DequantizeLinear")
    held = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    _, scale, zero = reader.input
    assert (float(held[scale]), int(held[zero])) == (1 / 128, 127)
    operators = {node.op_type for node in graph.node}
    assert not operators & {"Cast", "Sub", "Mul", "Clip"}
    assert {node.domain for node in graph.node} == {""}


def test_the_int8_encoder_is_near_the_float_one_and_nearer_with_its_biases_corrected(
    calibrated, pixels
):
    feeds = {"pixels": pixels[20:]}
    (wanted,) = _run(small_cnn.encoder(ENCODER), feeds)
    (found,) = _run(calibrated.quantize(), feeds)
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert error < 0.02
    uncorrected = {name: np.zeros_like(mean) for name, mean in calibrated.means.items()}
    (plain,) = _run(replace(calibrated, means=uncorrected).quantize(), feeds)
    assert np.linalg.norm(plain - wanted) > np.linalg.norm(found - wanted)


def test_this_machine_adds_up_as_the_graph_says(calibrated):
    """Where 16 bits overflow, the fused layers and the graph run operator by operator differ."""
    extremes = np.zeros((3, tiny.SIDE, tiny.SIDE, 3), np.uint8)
    extremes[1:] = 255
    extremes[2, ::2] = 0
    (fused,) = _run(calibrated.quantize(), {"pixels": extremes})
    (plain,) = _run(calibrated.quantize(), {"pixels": extremes}, optimised=False)
    np.testing.assert_allclose(fused, plain, atol=0.03 * np.abs(plain).max())


def test_a_layer_left_in_float_is_computed_in_float(calibrated, pixels, monkeypatch):
    """ONNX Runtime would round its weights again, to one scale, where nothing stood in the way."""
    feeds = {"pixels": pixels[20:24]}
    for layer in calibrated.layers[:-1]:  # what the last one gives is float anyway
        kept = calibrated.quantize(float_layers=[layer])
        with monkeypatch.context() as bare:
            bare.setattr(int8_encoder, "keep_float", lambda graph, layers: None)
            unkept = calibrated.quantize(float_layers=[layer])
        (meant,) = _run(unkept, feeds, optimised=False)
        (same,) = _run(kept, feeds, optimised=False)
        assert same.tobytes() == meant.tobytes()
        far, too_far = (
            np.linalg.norm(_run(graph, feeds)[0] - meant) / np.linalg.norm(meant)
            for graph in (kept, unkept)
        )
        assert far < too_far / 2, layer


def test_a_picture_is_encoded_alike_in_every_batch_bit_for_bit(calibrated, pixels):
    data = calibrated.quantize()
    (together,) = _run(data, {"pixels": pixels[:7]})
    for row in range(7):
        (alone,) = _run(data, {"pixels": pixels[row : row + 1]})
        assert alone.tobytes() == together[row : row + 1].tobytes()


def test_a_step_is_the_same_in_every_batch_bit_for_bit(int8_step):
    random = np.random.default_rng(0)
    feeds = {
        "token": np.arange(11),
        "state": random.uniform(-1, 1, (11, tiny.STATE)).astype(np.float32),
        "image": 3 * random.normal(0, 1, (11, tiny.IMAGE)).astype(np.float32),
    }
    together = _run(int8_step, feeds)
    for row in range(11):
        alone = _run(int8_step, {name: value[row : row + 1] for name, value in feeds.items()})
        for ours, all_rows in zip(alone, together, strict=True):
            assert ours.tobytes() == all_rows[row : row + 1].tobytes()


def test_the_int8_step_is_near_the_float_one_and_its_weights_are_bytes(int8_step, step_bytes):
    images = np.random.default_rng(2).normal(0, 1, (8, tiny.IMAGE)).astype(np.float32)
    feeds = {
        "token": np.zeros(8, np.int64),
        "state": np.zeros((8, tiny.STATE), np.float32),
        "image": images,
    }
    for found, wanted in zip(_run(int8_step, feeds), _run(step_bytes, feeds), strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.05)
    held = onnx.load_model_from_string(int8_step).graph.initializer
    matrices = [entry for entry in held if len(entry.dims) == 2]
    assert len(matrices) == 6
    assert {entry.data_type for entry in matrices} == {onnx.TensorProto.INT8}


def test_a_step_whose_tables_are_not_found_is_refused_and_not_left_in_float(step_bytes):
    graph = onnx.load_model_from_string(step_bytes)
    (token,) = (node for node in graph.graph.node if node.op_type == "Unsqueeze")
    copy = onnx.helper.make_node("Identity", [token.input[0]], ["copied"])
    token.input[0] = "copied"
    graph.graph.node.insert(0, copy)
    with pytest.raises(ModelError, match="in 0 tables, expected 2; export the model again"):
        quantize_step(graph.SerializeToString(), [], STEP)


def test_every_word_is_fed_after_those_before_it_and_no_row_after_its_sentence():
    seen = []

    def step(token, state, image):
        return np.zeros((len(token), 12)), state + token[:, None]

    sentences = [[4, 5], [], [6]]
    images = np.arange(3, dtype=np.float32)[:, None] * np.ones((1, tiny.IMAGE), np.float32)
    for feeds in sentence_feeds(step, images, sentences, _space()):
        rows = zip(feeds["image"][:, 0], feeds["token"], feeds["state"][:, 0], strict=True)
        seen.append([tuple(map(int, row)) for row in rows])
    assert seen == [[(0, 0, 0), (1, 0, 0), (2, 0, 0)], [(0, 4, 0), (2, 6, 0)], [(0, 5, 4)]]


def test_the_layer_that_rounding_spoils_comes_first_and_can_stay_float(calibrated, pixels, model):
    order = worst_layers(calibrated, pixels[20:24], load_bundle(model))
    assert sorted(order) == sorted(calibrated.layers)
    (wanted,) = _run(small_cnn.encoder(ENCODER), {"pixels": pixels[20:24]})

    def error(*float_layers):
        (found,) = _run(calibrated.quantize(float_layers=float_layers), {"pixels": pixels[20:24]})
        return np.linalg.norm(found - wanted)

    errors = [error(layer) for layer in order]
    assert errors == sorted(errors)
    assert error(*order[:2]) < error()
    kept = onnx.load_model_from_string(calibrated.quantize(float_layers=[calibrated.layers[0]]))
    stem = next(node for node in kept.graph.node if node.op_type == "Conv")
    held = {entry.name: numpy_helper.to_array(entry) for entry in kept.graph.initializer}
    assert held[stem.input[1]].dtype == np.float32


def test_in_place_the_model_gets_int8_graphs_as_its_default(model, data):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    done = _quantize(model, data)
    after = {path.name: path.read_bytes() for path in model.iterdir()}
    assert after.keys() - before.keys() == {"encoder.int8.onnx", "step.int8.onnx"}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"config.json", "metrics.json", "README.md"}
    captioner = Captioner.load(model, device="cpu")
    assert captioner.precision is Precision.INT8
    assert captioner.config == done.config
    assert captioner.config.id == json.loads(before["config.json"])["id"]
    assert captioner.caption(data / "images" / "test0.png").precision == "int8"
    card = after["README.md"].decode()
    assert f"{done.changed:.1%} of the captions changed" in card
    assert "how it was made" in card
    figures = json.loads(after["metrics.json"])["int8"]
    assert figures["dev"]["cider"]["int8"] == done.after.scores.cider
    assert figures["calibration_pictures"] == 10


def test_in_a_new_folder_it_gets_the_folders_name_and_the_old_one_stays(model, data, tmp_path):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    _quantize(model, data, tmp_path / "smaller")
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    smaller = load_bundle(tmp_path / "smaller")
    assert smaller.config.name == "smaller"
    assert smaller.config.prior is not None
    for name in ("encoder.onnx", "step.onnx", "gradient.onnx", "prior.npy", "vocab.json"):
        assert (tmp_path / "smaller" / name).read_bytes() == before[name]


def test_alone_the_folder_holds_the_int8_graphs_and_no_others(model, data, tmp_path):
    both = _quantize(model, data, tmp_path / "both")
    alone = _quantize(model, data, tmp_path / "alone", alone=True)
    names = {path.name for path in (tmp_path / "alone").iterdir()}
    lost = {path.name for path in (tmp_path / "both").iterdir()} - names
    assert lost == {"encoder.onnx", "step.onnx", "gradient.onnx"}
    for name in ("encoder.int8.onnx", "step.int8.onnx", "prior.npy", "vocab.json"):
        ours, theirs = (tmp_path / where / name for where in ("alone", "both"))
        assert ours.read_bytes() == theirs.read_bytes()
    assert alone.config.precisions.keys() == {Precision.INT8}
    assert alone.float_graphs == both.float_graphs
    picture = data / "images" / "test0.png"
    captions = [
        Captioner.load(done.folder, device="cpu").caption(picture) for done in (both, alone)
    ]
    assert captions[0].text == captions[1].text
    assert captions[1].precision == "int8"
    assert all(check.passed for check in verify_model(tmp_path / "alone"))


def test_a_model_does_not_lose_its_float_graphs_in_place(model, data):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    with pytest.raises(OptionError, match="no new folder.*--output"):
        _quantize(model, data, alone=True)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_twice_is_the_same_to_the_byte(model, data, tmp_path):
    for name in ("one", "two"):
        _quantize(model, data, tmp_path / name / "same")
    for path in (tmp_path / "one" / "same").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / "same" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("out", [None, "new"])
def test_what_loses_too_much_is_refused_and_nothing_is_written(
    model, data, tmp_path, out, monkeypatch
):
    monkeypatch.setattr(quantize_module, "FLOAT_LAYERS", (0,))
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    folder = None if out is None else tmp_path / out
    # A gain of 20 is asked for: CIDEr ends at 10.
    with pytest.raises(ModelError, match=r"takes .* CIDEr of dev .* the limit is -20"):
        _quantize(model, data, folder, max_drop=-20.0)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_layers_are_left_in_float_before_a_model_is_refused(model, data, monkeypatch):
    drops = iter([5.0, 0.0])
    monkeypatch.setattr(quantize_module.Quantized, "drop", property(lambda _: next(drops)))
    monkeypatch.setattr(quantize_module, "FLOAT_LAYERS", (0, 2))
    done = _quantize(model, data, max_drop=1.0)
    assert len(done.float_layers) == 2
    assert json.loads((model / "metrics.json").read_text())["int8"]["float_layers"] == list(
        done.float_layers
    )
    assert Captioner.load(model, device="cpu").precision is Precision.INT8


def test_a_second_time_in_place_and_over_a_folder_are_refused(model, data):
    _quantize(model, data)
    with pytest.raises(OptionError, match="has int8 graphs already; name a new folder"):
        _quantize(model, data)
    with pytest.raises(OptionError, match="exists already"):
        _quantize(model, data, model)


def test_a_graph_that_export_did_not_write_is_told(tmp_path, data, captioner):
    folder = with_card(tiny.write(tmp_path / "other", tiny.files()))
    with pytest.raises(ModelError, match="begins with Cast, ReduceMean.*export the model again"):
        _quantize(folder, data)


def test_verify_checks_the_int8_graphs_against_their_own_answers(model, data):
    _quantize(model, data)
    checks = {check.name: check for check in verify_model(model)}
    ours = {name: check for name, check in checks.items() if name.startswith("int8: ")}
    assert len(ours) == 4
    assert all(check.passed for check in ours.values()), ours
    metrics = json.loads((model / "metrics.json").read_text())
    reference = metrics["int8"]["reference"]
    reference["image"] = [1.2 * value for value in reference["image"]]
    reference["top"][2][1][0] += 0.2
    (model / "metrics.json").write_text(json.dumps(metrics))
    failed = [check.name for check in verify_model(model) if not check.passed]
    assert "int8: image vector against where it was made" in failed
    assert "int8: log-probabilities against where it was made" in failed
    del metrics["int8"]
    (model / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(BundleError, match=r"int8\.reference is missing"):
        list(verify_model(model))
