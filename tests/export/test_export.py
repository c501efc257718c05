"""From a data set to a model folder, with a real CNN at 128 pixels; then the folder alone."""

import dataclasses
import json
import shutil

import dataset
import numpy as np
import onnx
import pytest
import torch

from mrnn_edge import Captioner
from mrnn_edge.config import GraphRole
from mrnn_edge.errors import BundleError, DatasetError, ModelError, OptionError
from mrnn_edge.verify import verify_model
from mrnn_edge_export import parity
from mrnn_edge_export.export import Origin, bundle_id, export_run, read_run
from mrnn_edge_export.graphs import StepGraph, export_step
from mrnn_edge_export.parity import compare_captions, largest_differences
from mrnn_edge_train.loop import prepare, train
from mrnn_edge_train.recipe import read_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.write(tmp_path_factory.mktemp("data") / "set", train=24, dev=6, test=3, side=128)


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    recipe = dataclasses.replace(
        read_recipe("flickr8k-lite2"),
        encoder="efficientnet-lite0",
        image_size=128,
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
    list(train(recipe, prepared, folder / "run", seed=1, source=str(data)))
    assert len(list((folder / "cache").iterdir())) == 2
    return folder / "run"


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run):
    origin = Origin(data="a little set", weights_licence="do as you like")
    return export_run(run, tmp_path_factory.mktemp("models") / "little", origin=origin)


def test_the_folder_has_the_files_of_the_contract_and_single_file_graphs(exported):
    assert {path.name for path in exported.folder.iterdir()} == {
        "config.json", "vocab.json", "encoder.onnx", "step.onnx", "gradient.onnx",
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
    from mrnn_edge.image import load_image

    return load_image(path)


def test_the_card_and_config_carry_the_licences(exported):
    card = (exported.folder / "README.md").read_text()
    assert exported.config.licence["weights"] == "do as you like"
    assert exported.config.training["data"] == "a little set"
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
    with pytest.raises(BundleError, match="exists already"):
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
    with pytest.raises(OptionError, match="no training run"):
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


def test_nothing_is_written_where_torch_and_onnx_runtime_differ(run, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "LIMIT", 1e-12)
    with pytest.raises(ModelError, match="differ by"):
        export_run(run, tmp_path / "model", origin=Origin())
    assert list(tmp_path.iterdir()) == []


def test_the_step_graph_has_no_embedding_left(run):
    step = StepGraph(read_run(run).network.model)
    assert set(step.state_dict()) == {
        "word_table", "multimodal_table", "recurrent.weight", "state_to_multimodal.weight",
        "softmax.weight", "softmax.bias",
    }  # fmt: skip
