"""A model folder taught a word and trained on: read back, written anew, run by ONNX Runtime."""

import dataclasses

import dataset
import numpy as np
import onnx
import pytest
import tiny
from lessons import lesson
from training import plan

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import GraphRole, Precision
from mrnn_edge.errors import ModelError, OptionError
from mrnn_edge.options import DecodeOptions
from mrnn_edge.verify import verify_model
from mrnn_edge_export.export import Origin, export_run
from mrnn_edge_export.int8.quantize import quantize_model
from mrnn_edge_export.taught import Grown, largest_difference, read_step, write_grown
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.flickr8k import read_split
from mrnn_edge_train.further.teach import teach
from mrnn_edge_train.loop import train
from mrnn_edge_train.network.cells import Cell
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.recipe import read_recipe
from mrnn_edge_train.stages.validation import best_sentences, step_function


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tied GRU, as the shipped model is."""
    folder = tmp_path_factory.mktemp("taught")
    data = dataset.write(folder / "set", train=12, dev=4, test=2, side=64)
    recipe = dataclasses.replace(
        read_recipe("flickr8k-lite2"), encoder="efficientnet-lite0", image_size=64, batch=10,
        minimum_count=1, embedding=8, state=8, multimodal=12, cell=Cell.GRU, tied=True, epochs=2,
    )  # fmt: skip
    prepared = prepare(recipe, data, cache=folder / "cache")
    list(train(plan(recipe, data), prepared, folder / "run"))
    export_run(folder / "run", folder / "base", origin=Origin())
    return Captioner.load(folder / "base", device="cpu", threads=1), data


def sure(bundle):
    """The bundle with a confidence, which so few dev pictures do not give it."""
    config = dataclasses.replace(bundle.config, confidence=tiny.weights())
    return dataclasses.replace(bundle, config=config)


@pytest.fixture(scope="module")
def taught(base, tmp_path_factory):
    captioner, _ = base
    bundle, step = sure(captioner.bundle), read_step(captioner.bundle, captioner.graphs.step)
    own = dataclasses.replace(lesson(), typical=bundle.prior().centres)
    done = teach(step, bundle.vocabulary, own, DecodeOptions(beam=1))
    grown = Grown(
        step=done.step, vocabulary=done.vocabulary, prior=bundle.prior(),
        training={**bundle.config.training, "taught": ["zebra"]},
    )  # fmt: skip
    out = tmp_path_factory.mktemp("models") / "zoo"
    write_grown(bundle, grown, out, own.table.features)
    return Captioner.load(out, device="cpu", threads=1), done.step


def test_the_weights_that_are_read_back_are_those_of_the_graph(base):
    captioner, _ = base
    graph = captioner.graphs.step
    found = largest_difference(read_step(captioner.bundle, graph), graph)
    assert max(found.values()) < 1e-5


def test_a_graph_of_another_kind_is_refused(captioner):
    with pytest.raises(ModelError, match="not as `mrnn-edge export` writes it"):
        read_step(captioner.bundle, captioner.graphs.step)


def test_a_graph_that_has_the_weights_and_computes_something_else_is_refused(base):
    captioner, _ = base

    def other(token, state, image):
        return captioner.graphs.step(token, state, 2.0 * image)

    with pytest.raises(ModelError, match=r"differ by .* only models of `mrnn-edge export`"):
        read_step(captioner.bundle, other)


def test_the_new_folder_is_a_model_that_verifies(taught):
    captioner, _ = taught
    assert captioner.bundle.vocabulary.words[-1] == "zebra"
    assert captioner.config.training["taught"] == ["zebra"]
    checks = list(verify_model(captioner.bundle.folder))
    assert all(check.passed for check in checks), checks
    assert any(check.name.startswith("gradient") for check in checks)


def test_image_vectors_are_to_the_last_bit_what_they_were(base, taught):
    (before, data), (after, _) = base, taught
    for image in read_split(data, Split.DEV):
        np.testing.assert_array_equal(before.encode(image.path), after.encode(image.path))
    np.testing.assert_array_equal(before.bundle.prior().centres, after.bundle.prior().centres)
    assert before.config.id != after.config.id


def test_the_confidence_stays_with_the_prior_it_was_fitted_with(base, taught, tmp_path):
    captioner, step = taught
    assert captioner.config.confidence == tiny.weights()
    grown = Grown(step=step, vocabulary=captioner.bundle.vocabulary, prior=None, training={})
    config = write_grown(sure(base[0].bundle), grown, tmp_path / "new", lesson().table.features)
    assert config.confidence is None


def test_onnx_runtime_keeps_the_other_words_to_the_last_bit_where_the_new_one_is_unlikely(
    base, taught
):
    (before, _), (after, step) = base, taught
    random = np.random.default_rng(3)
    words = len(before.bundle.vocabulary)
    token = random.integers(0, words, 200)
    state = random.random((200, before.config.sizes.state), np.float32)
    image = random.normal(0, 1, (200, before.config.sizes.image)).astype(np.float32)
    old, old_state = before.graphs.step(token, state, image)
    new, new_state = after.graphs.step(token, state, image)
    unlikely = np.exp(new[:, -1]) < 0.009
    assert unlikely.sum() > 20
    np.testing.assert_array_equal(new[unlikely, :words], old[unlikely])
    np.testing.assert_array_equal(new_state, old_state)
    ours, _ = step_function(step)(token, state, image)
    np.testing.assert_allclose(new, ours, atol=1e-4)


def test_a_taught_model_can_be_quantised_and_what_it_says_without_the_word_stays_in_float32(
    base, taught, tmp_path
):
    (before, data), (after, _) = base, taught
    done = quantize_model(
        str(after.bundle.folder), tmp_path / "smaller", data=[data], calibrate=10, max_drop=10.0,
        command="how it was made", threads=1,
    )  # fmt: skip
    checks = list(verify_model(done.folder))
    assert all(check.passed for check in checks), checks
    assert sum(check.name.startswith("int8: ") for check in checks) == 4
    held = onnx.load(done.folder / "step.int8.onnx").graph.initializer
    kept = {tuple(entry.dims): entry.data_type for entry in held if len(entry.dims) == 2}
    assert set(kept.values()) == {onnx.TensorProto.INT8}, kept

    floats, int8 = (
        Captioner.load(done.folder, device="cpu", threads=1, precision=precision)
        for precision in (Precision.FLOAT32, Precision.INT8)
    )
    assert floats.config.training["taught"] == ["zebra"]
    # Whatever the pictures: with a beam of 1 that holds wherever the word is not the likeliest.
    random = np.random.default_rng(8)
    vectors = random.normal(0, 1, (200, before.config.sizes.image)).astype(np.float32)
    zebra, decoding = len(before.bundle.vocabulary), DecodeOptions(beam=1)
    old = best_sentences(before.graphs.step, vectors, before.space, decoding)
    new = best_sentences(floats.graphs.step, vectors, floats.space, decoding)
    same = [one == other for one, other in zip(old, new, strict=True) if zebra not in other]
    assert len(same) > 100
    assert all(same)
    assert len(set(old)) > 20
    # After words and pictures that were calibrated on, 8 bits know the new word as the others.
    token = np.arange(zebra)
    state = np.zeros((len(token), floats.config.sizes.state), np.float32)
    image = np.repeat(floats.encode(data / "images" / "train0.png")[None], len(token), axis=0)
    for found, wanted in zip(
        int8.graphs.step(token, state, image), floats.graphs.step(token, state, image), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=0.05)


def test_a_taught_model_can_be_taught_again(taught):
    captioner, step = taught
    again = read_step(captioner.bundle, captioner.graphs.step).weights()
    for name, value in step.weights().items():
        np.testing.assert_array_equal(again[name].numpy(), value.numpy())


def test_a_model_whose_words_were_merged_can_be_read_back(base, taught, tmp_path):
    captioner, step = taught
    grown = Grown(
        step=step.merged(), vocabulary=captioner.bundle.vocabulary, prior=None, training={}
    )
    write_grown(base[0].bundle, grown, tmp_path / "merged", lesson().table.features)
    merged = Captioner.load(tmp_path / "merged", device="cpu", threads=1)
    again = read_step(merged.bundle, merged.graphs.step).weights()
    for name, value in step.merged().weights().items():
        np.testing.assert_array_equal(again[name].numpy(), value.numpy())


def test_a_folder_that_exists_is_not_overwritten(base, taught):
    captioner, step = taught
    grown = Grown(step=step, vocabulary=captioner.bundle.vocabulary, prior=None, training={})
    config = (captioner.bundle.folder / "config.json").read_bytes()
    with pytest.raises(OptionError, match="exists already"):
        write_grown(base[0].bundle, grown, captioner.bundle.folder, lesson().table.features)
    assert (captioner.bundle.folder / "config.json").read_bytes() == config


def test_graphs_are_float32_alone(taught):
    captioner, _ = taught
    assert list(captioner.config.precisions) == [Precision.FLOAT32]
    assert captioner.bundle.graph(Precision.FLOAT32, GraphRole.GRADIENT)
