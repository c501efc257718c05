"""From a data set to a model folder, with a real CNN at 64 pixels; then the folder alone."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import dataset
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from training import plan

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.errors import DatasetError, ModelError, OptionError
from mrnn_edge.verify import verify_model
from mrnn_edge_export import export, parity
from mrnn_edge_export.export import Origin, bundle_id, export_run, read_run
from mrnn_edge_export.modules import export_step
from mrnn_edge_export.parity import compare_captions, largest_differences
from mrnn_edge_export.training_prior import group
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.flickr8k import read_split
from mrnn_edge_train.loop import train
from mrnn_edge_train.network.cells import Cell
from mrnn_edge_train.network.model import MRNN, ModelSizes
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.recipe import read_recipe
from mrnn_edge_train.stages.validation import step_function


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.write(tmp_path_factory.mktemp("data") / "set", train=24, dev=6, test=3, side=64)


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    recipe = dataclasses.replace(
        read_recipe("flickr8k-lite2"),
        encoder="efficientnet-lite0",
        image_size=64,
        minimum_count=1,
        embedding=8,
        state=16,
        multimodal=24,
        batch=10,
        epochs=3,
        learning_rate=1e-2,
        length_penalty=0.6,
    )
    folder = tmp_path_factory.mktemp("run")
    prepared = prepare(recipe, data, cache=folder / "cache")
    list(train(plan(recipe, data), prepared, folder / "run"))
    assert len(list((folder / "cache").iterdir())) == 2
    return folder / "run"


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run):
    origin = Origin(data="a little set", weights_licence="do as you like")
    return export_run(run, tmp_path_factory.mktemp("models") / "little", origin=origin)


def test_the_folder_has_the_files_of_the_contract_and_single_file_graphs(exported):
    assert {path.name for path in exported.folder.iterdir()} == {
        "config.json", "vocab.json", "encoder.onnx", "step.onnx", "gradient.onnx", "prior.npy",
        "metrics.json", "README.md",
    }  # fmt: skip
    for role in GraphRole:
        graph = onnx.load(exported.folder / f"{role}.onnx")
        onnx.checker.check_model(graph, full_check=True)
        assert graph.opset_import[0].version == exported.config.opset
        assert not any(t.external_data for t in graph.graph.initializer)
        properties = {entry.key: entry.value for entry in graph.metadata_props}
        assert properties["bundle_id"] == exported.config.id
        assert properties["graph"] == role


def test_torch_and_onnx_runtime_agree_at_every_batch_and_on_every_caption(exported):
    for batches in exported.parity["largest_difference"].values():
        assert set(batches) == {"1", "2", "7", "64"}
        assert max(batches.values()) <= 1e-4
    assert exported.parity["captions"] == {"compared": 6, "equal": 6}


def test_the_prior_is_the_mean_of_the_training_pictures_and_groups_of_them(exported, data):
    captioner = Captioner.load(exported.folder, device="cpu")
    vectors = np.stack([captioner.encode(image.path) for image in read_split(data, Split.TRAIN)])
    prior = captioner.bundle.prior()
    np.testing.assert_allclose(prior.mean, vectors.mean(axis=0), atol=1e-5)
    assert exported.config.prior.groups == len(prior.centres) == 2
    # Groups that hold every picture once have the mean of all as their own weighted mean.
    np.testing.assert_allclose(prior.weights @ prior.centres, prior.mean, atol=1e-5)
    assert (prior.weights * 24).round(4).tolist() == (prior.weights * 24).round().tolist()


def test_groups_are_the_clusters_that_there_are_and_the_same_each_time():
    random = np.random.default_rng(2)
    middles = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 9]], np.float32)
    member = np.repeat([0, 1, 2], [50, 30, 20])
    rows = (middles[member] + random.normal(0, 0.1, (100, 3))).astype(np.float32)
    centres, weights = group(rows[random.permutation(100)], 3)
    order = np.argsort(-weights)
    np.testing.assert_allclose(weights[order], [0.5, 0.3, 0.2])
    np.testing.assert_allclose(centres[order], middles, atol=0.1)
    for first, second in zip(group(rows, 3), group(rows, 3), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("different", [1, 2, 3])
def test_fewer_different_pictures_than_groups_make_a_group_each(different):
    rows = np.tile(np.eye(3, dtype=np.float32)[:different], (20, 1))
    centres, weights = group(rows, 5)
    assert sorted(map(tuple, centres)) == sorted(map(tuple, np.eye(3)[:different]))
    np.testing.assert_allclose(weights, 1 / different)


def test_the_folder_loads_and_passes_its_own_verification(exported, data):
    captioner = Captioner.load(exported.folder, device="cpu")
    assert captioner.config == exported.config
    assert captioner.config.name == "little"
    assert captioner.config.decoding.length_penalty == 0.6
    assert captioner.caption(data / "images" / "test0.png").text
    checks = list(verify_model(exported.folder))
    assert [check.name for check in checks if not check.passed] == []


def test_the_exported_chain_gives_the_log_probabilities_of_the_trained_network(exported, run, data):
    network = read_run(run).network
    captioner = Captioner.load(exported.folder, device="cpu")
    sentence = ["a", "red", "wall"]
    (score,) = captioner.score(data / "images" / "dev0.png", [" ".join(sentence)])
    tokens = captioner.bundle.vocabulary.encode(["<start>", *sentence])
    pixels = np.asarray(read_image(data / "images" / "dev0.png"))
    with torch.inference_mode():
        features = network.cnn(torch.from_numpy(pixels.copy())[None])
        logits = network.model(
            torch.tensor([tokens]), features, torch.ones(1, len(tokens), dtype=torch.bool)
        )
        log_probs = torch.log_softmax(logits, -1)
    targets = [*tokens[1:], captioner.bundle.vocabulary.end]
    expected = float(log_probs[range(4), targets].sum()) / np.log(2)
    assert score.log2_prob == pytest.approx(expected, abs=1e-3)


def read_image(path):
    from mrnn_edge.image.read import load_image

    return load_image(path)


def test_the_card_and_config_carry_the_licences(exported):
    card = (exported.folder / "README.md").read_text()
    assert exported.config.licence["weights"] == "do as you like"
    assert exported.config.training["data"] == "a little set"
    assert exported.config.training["devices"] == ["cpu"]
    assert "do as you like" in card
    assert "a little set" in card
    assert "3 of 3" in card
    assert exported.config.id in card


def test_two_exports_of_a_run_are_equal_to_the_byte_and_name_no_path(exported, run):
    captioner = Captioner.load(exported.folder, device="cpu")
    again = export_step(read_run(run).network.model, captioner.bundle.metadata(GraphRole.STEP))
    assert again == (exported.folder / "step.onnx").read_bytes()
    for path in exported.folder.iterdir():
        assert b"site-packages" not in path.read_bytes(), path.name
        assert str(run).encode() not in path.read_bytes(), path.name


def test_an_existing_folder_is_not_written_over(exported, run):
    with pytest.raises(OptionError, match="exists already"):
        export_run(run, exported.folder, origin=Origin())


def test_the_id_is_of_the_weights_and_the_words(exported, run):
    network, vocab_json = read_run(run).network, (run / "vocab.json").read_bytes()
    assert bundle_id(network, vocab_json) == exported.config.id
    assert bundle_id(network, vocab_json + b" ") != exported.config.id
    with torch.no_grad():
        network.cnn.network._conv_stem.weight[0, 0, 0, 0] += 1
    assert bundle_id(network, vocab_json) != exported.config.id


def test_a_run_on_a_feature_table_has_no_cnn_to_export(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    facts["recipe"]["encoder"] = "table.npz"
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    with pytest.raises(OptionError, match="no CNN to export"):
        export_run(tmp_path / "run", tmp_path / "model", origin=Origin())


def test_a_folder_that_is_no_run_and_a_data_set_that_has_gone_are_told(run, tmp_path):
    with pytest.raises(OptionError, match="not a training run"):
        export_run(tmp_path, tmp_path / "model", origin=Origin())
    with pytest.raises(DatasetError, match="--data"):
        export_run(run, tmp_path / "model", origin=Origin(), data=tmp_path / "gone")


def test_a_difference_above_the_limit_stops_the_export(run, exported):
    network = read_run(run).network
    graphs = Captioner.load(exported.folder, device="cpu").graphs
    assert largest_differences(network, graphs)
    with torch.no_grad():
        network.model.image_to_multimodal.bias[0] += 1e-3
    with pytest.raises(ModelError, match="differ by"):
        largest_differences(network, graphs)


def test_a_state_that_is_no_number_stops_the_export(run, exported):
    network = read_run(run).network
    graphs = Captioner.load(exported.folder, device="cpu").graphs

    def step(token, state, image):
        log_probs, after = graphs.step(token, state, image)
        return log_probs, after + np.float32("nan")

    broken = SimpleNamespace(encoder=graphs.encoder, step=step)
    with pytest.raises(ModelError, match="differ by nan"):
        largest_differences(network, broken)


def test_a_caption_that_differs_is_named_with_both_sentences(run, exported, data):
    opened = read_run(run)
    graphs = Captioner.load(exported.folder, device="cpu").graphs
    pictures = [data / "images" / f"dev{number}.png" for number in range(3)]
    with torch.no_grad():
        opened.network.model.softmax.bias[-1] += 40.0
    with pytest.raises(ModelError, match=r"dev0\.png: ONNX Runtime says .*, torch "):
        compare_captions(
            opened.network, graphs, opened.vocabulary, pictures, opened.recipe.decoding
        )


def test_nothing_is_written_where_torch_and_onnx_runtime_differ(
    run, exported, tmp_path, monkeypatch
):
    for role in GraphRole:
        # The same graphs as before, which take ten seconds to make.
        graph = (exported.folder / f"{role}.onnx").read_bytes()
        monkeypatch.setattr(export, f"export_{role}", lambda *_, graph=graph: graph)
    monkeypatch.setattr(parity, "LIMIT", 1e-12)
    with pytest.raises(ModelError, match="differ by"):
        export_run(run, tmp_path / "model", origin=Origin())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cell", list(Cell))
@pytest.mark.parametrize("tied", [False, True])
def test_every_cell_is_exported_as_it_was_trained(cell, tied):
    torch.manual_seed(1)
    sizes = ModelSizes(
        vocabulary=11, feature=6, embedding=5, state=4, multimodal=7, cell=cell, tied=tied
    )
    model = MRNN(sizes).eval()
    states = 8 if cell is Cell.LSTM else 4
    session = onnxruntime.InferenceSession(export_step(model, {}))
    assert [each.shape for each in session.get_inputs()] == [
        ["batch"], ["batch", states], ["batch", 7],
    ]  # fmt: skip
    image = np.random.default_rng(0).normal(0, 1, (3, 7)).astype(np.float32)
    ours = theirs = np.zeros((3, states), np.float32)
    for token in ([0, 4, 9], [10, 1, 2], [3, 3, 3]):
        ids = np.array(token, np.int64)
        ours_log, ours = session.run(None, {"token": ids, "state": ours, "image": image})
        theirs_log, theirs = step_function(model)(ids, theirs, image)
        np.testing.assert_allclose(ours_log, theirs_log, atol=1e-5)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_tuned_cnn_is_the_one_that_is_exported(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    weights = load_file(folder / "best.safetensors")
    cnn = read_run(folder).network.cnn.state_dict()
    torch.manual_seed(0)
    name = "network._conv_head.weight"
    cnn[name] = cnn[name] + 0.01 * torch.randn_like(cnn[name])
    save_file({**weights, **{f"cnn.{k}": v for k, v in cnn.items()}}, folder / "best.safetensors")
    exported = export_run(folder, tmp_path / "model", origin=Origin())
    assert exported.config.id != bundle_id(read_run(run).network, read_run(run).vocab_json)
    graph = onnx.load(exported.folder / "encoder.onnx")
    held = [onnx.numpy_helper.to_array(each) for each in graph.graph.initializer]
    shape = tuple(cnn[name].shape)
    network = read_run(folder).network.cnn.network
    scale = (network._bn1.weight / torch.sqrt(network._bn1.running_var + network._bn1.eps)).detach()
    expected = [cnn[name].numpy(), (cnn[name] * scale[:, None, None, None]).numpy()]
    assert any(
        array.shape == shape and np.allclose(array, weight, atol=1e-5)
        for array in held
        for weight in expected
    )


def test_the_step_graph_has_no_embedding_left(run, exported):
    sizes = read_run(run).network.model.sizes
    v, r, m = sizes.vocabulary, sizes.state, sizes.multimodal
    graph = onnx.load(exported.folder / "step.onnx")
    arrays = [onnx.numpy_helper.to_array(each) for each in graph.graph.initializer]
    found = sum(array.size for array in arrays if array.ndim and array.size > 1)
    assert found == v * r + v * m + r * r + r * m + m * v + v
