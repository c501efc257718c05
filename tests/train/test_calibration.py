"""A temperature that is fitted on dev and folded into the softmax."""

import dataclasses
import json

import dataset
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from training import plan

from mrnn_edge.language.captions import search_space
from mrnn_edge.options import DecodeOptions
from mrnn_edge_train.calibration import calibrate, divide_logits, fit_temperature
from mrnn_edge_train.loop import resume, train
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.runs import read_run
from mrnn_edge_train.stages.batches import Examples
from mrnn_edge_train.stages.stages import build_model
from mrnn_edge_train.stages.validation import (
    best_sentences,
    dev_figures,
    image_vectors,
    perplexity,
    step_function,
)


@pytest.fixture
def data(tmp_path):
    return dataset.write(tmp_path / "set", train=12, dev=6, test=2)


@pytest.fixture
def one_stage(two_stages):
    return dataclasses.replace(two_stages, finetune=None, epochs=6, label_smoothing=0.3)


def greedy(model, prepared):
    return best_sentences(
        step_function(model),
        image_vectors(model, prepared.dev_table.features),
        search_space(prepared.vocabulary, state=model.recurrent.state_size),
        DecodeOptions(beam=1),
    )


@pytest.mark.parametrize("tied", [False, True])
def test_divided_logits_are_the_logits_divided_and_the_words_stay_as_they_were(
    one_stage, data, tmp_path, tied
):
    recipe = dataclasses.replace(one_stage, tied=tied)
    prepared = prepare(recipe, data, cache=tmp_path)
    model = build_model(recipe, prepared).eval()
    batch = next(Examples(prepared.dev, prepared.dev_table, prepared.vocabulary).in_order(size=9))
    with torch.no_grad():
        # A bias of zeros would not show that it is divided too.
        model.softmax.bias.uniform_(-1, 1)
        before = model(batch.inputs, batch.features, batch.mask)
        words = model.embedding_1.weight.clone()
        captions = greedy(model, prepared)
        divide_logits(model, 0.6)
        after = model(batch.inputs, batch.features, batch.mask)
    torch.testing.assert_close(after, before / 0.6)
    assert torch.equal(model.embedding_1.weight, words)
    assert greedy(model, prepared) == captions


def test_the_temperature_that_was_put_in_is_found(one_stage, data, tmp_path):
    """Of two networks that differ by a temperature alone, the fits differ by just that."""
    prepared = prepare(one_stage, data, cache=tmp_path)
    list(train(plan(one_stage, data), prepared, tmp_path / "run"))
    model = build_model(one_stage, prepared).eval()
    model.load_state_dict(load_file(tmp_path / "run" / "best.safetensors"))
    examples = Examples(prepared.dev, prepared.dev_table, prepared.vocabulary)
    own = fit_temperature(model, examples)
    around = []
    for factor in (0.97, 1.0, 1.03):
        near = build_model(one_stage, prepared).eval()
        near.load_state_dict(model.state_dict())
        divide_logits(near, own * factor)
        around.append(perplexity(near, examples.in_order(size=500)))
    assert around[1] < min(around[0], around[2])
    divide_logits(model, 0.5)
    assert fit_temperature(model, examples) == pytest.approx(own / 0.5, rel=5e-3)


def test_a_network_that_no_temperature_betters_is_left_alone(one_stage, data, tmp_path):
    prepared = prepare(one_stage, data, cache=tmp_path)
    model = build_model(one_stage, prepared).eval()
    with torch.no_grad():
        model.softmax.projection.weight.zero_()
        model.softmax.bias.zero_()
    examples = Examples(prepared.dev, prepared.dev_table, prepared.vocabulary)
    # All words alike: no logit that could be divided.
    assert fit_temperature(model, examples) == 1.0


def test_a_calibrated_run_keeps_weights_of_less_perplexity_and_says_what_was_done(
    two_stages, data, tmp_path
):
    recipe = dataclasses.replace(two_stages, label_smoothing=0.3, calibrate=True)
    prepared = prepare(recipe, data, cache=tmp_path)
    epochs = list(train(plan(recipe, data), prepared, tmp_path / "run"))
    best = max(epochs, key=lambda each: each.dev_cider)
    told = json.loads((tmp_path / "run" / "run.json").read_text())["calibration"]
    assert told["before"]["perplexity"] == pytest.approx(best.dev_perplexity, rel=1e-5)
    assert told["before"]["cider"] == pytest.approx(best.dev_cider, abs=1e-6)
    assert told["after"]["perplexity"] < told["before"]["perplexity"]
    run = read_run(tmp_path / "run")
    with torch.inference_mode():
        pictures = np.stack([_pixels(image.path) for image in prepared.dev])
        vectors = run.cnn(torch.from_numpy(pictures)).numpy()
    table = dataclasses.replace(prepared.dev_table, features=vectors)
    found = dev_figures(run.model, prepared.dev, table, prepared.vocabulary, recipe.decoding)
    assert found.perplexity == pytest.approx(told["after"]["perplexity"], rel=1e-4)

    plain = dataclasses.replace(recipe, calibrate=False)
    list(train(plan(plain, data), prepared, tmp_path / "plain"))
    was = load_file(tmp_path / "plain" / "best.safetensors")
    now = load_file(tmp_path / "run" / "best.safetensors")
    changed = {name for name in now if not torch.equal(now[name], was[name])}
    assert changed == {"softmax.projection.weight", "softmax.bias"}
    torch.testing.assert_close(
        now["softmax.projection.weight"], was["softmax.projection.weight"] / told["temperature"]
    )


def test_a_run_is_calibrated_once_however_often_it_ends(one_stage, data, tmp_path):
    recipe = dataclasses.replace(one_stage, calibrate=True)
    prepared = prepare(recipe, data, cache=tmp_path)
    folder = tmp_path / "run"
    list(train(plan(recipe, data), prepared, folder))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert list(resume(prepared, folder)) == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # Had it died before run.json was written, the header would still tell.
    facts = json.loads(before["run.json"])
    (folder / "run.json").write_text(
        json.dumps({key: value for key, value in facts.items() if key != "calibration"})
    )
    assert list(resume(prepared, folder)) == []
    assert json.loads((folder / "run.json").read_text()) == facts
    assert (folder / "best.safetensors").read_bytes() == before["best.safetensors"]


def test_a_run_that_is_stopped_is_calibrated_when_it_has_ended(one_stage, data, tmp_path):
    recipe = dataclasses.replace(one_stage, epochs=1, calibrate=True)
    prepared = prepare(recipe, data, cache=tmp_path)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    list(train(plan(recipe, data), prepared, whole))
    assert list(train(plan(recipe, data), prepared, parts, stop=lambda: True)) == []
    assert not (parts / "best.safetensors").exists()
    list(resume(prepared, parts))
    assert (parts / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()


def test_weights_without_a_header_are_calibrated(one_stage, data, tmp_path):
    prepared = prepare(one_stage, data, cache=tmp_path)
    list(train(plan(one_stage, data), prepared, tmp_path / "run"))
    path = tmp_path / "run" / "best.safetensors"
    save_file(load_file(path), path)
    found = calibrate(one_stage, prepared, tmp_path / "run")
    assert found == calibrate(one_stage, prepared, tmp_path / "run")


def _pixels(path):
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))
