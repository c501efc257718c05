import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mrnn_edge.errors import DatasetError, OptionError
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.data.everyday import NamedImage
from mrnn_edge_train.data.kinds import image_classes
from mrnn_edge_train.data.mixture import Mixture
from mrnn_edge_train.prepare import prepare_mixture
from mrnn_edge_train.recipe import Mixed, Recipe, read_recipe, recipe_from_dict
from mrnn_edge_train.stages.mixed import MixedStage, forgotten
from mrnn_edge_train.stages.unpaired import prototype_vectors, word_shares
from mrnn_edge_train.stages.vectors import compute, open_store, softmax

SAID = (("a", "cat", "sleeps"), ("a", "dog", "runs"), ("the", "dog", "sleeps"))


def _image(name: str, *sentences: tuple[str, ...]) -> CaptionedImage:
    return CaptionedImage(path=Path(name), sentences=sentences)


def _named(number: int) -> NamedImage:
    wordnet = image_classes()[number].wordnet
    name = f"imagenet_{wordnet}_x.webp"
    return NamedImage(path=Path(name), names=("x",), source="imagenet")


MIXTURE = Mixture(
    train=(_image("a", *SAID[:2]), _image("b", *SAID[1:])),
    weights=(1.0, 3.0),
    dev={"one": (_image("c", SAID[0]),), "two": (_image("d", SAID[2]), _image("e", SAID[1]))},
    sentences=(*SAID, ("a", "zebra", "sleeps"), ("a", "fox", "runs")),
    named=(_named(281), _named(340), _named(900)),
)


class Pictures:
    """Pictures in memory: what a file holds is its name, and the CNN makes numbers of it."""

    def __init__(self, folder: Path) -> None:
        images = [*MIXTURE.train, *MIXTURE.dev["one"], *MIXTURE.dev["two"], *MIXTURE.named]
        self.paths = [folder / image.name for image in images]
        for number, path in enumerate(self.paths):
            _write(path, number)

    def read(self, pixels):
        values = pixels.reshape(len(pixels), -1)[:, :12].astype(np.float32) / 255
        return values, np.tile(values, 84)[:, :1000]


def _write(path: Path, number: int) -> None:
    from PIL import Image

    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.fixture
def store(tmp_path):
    pictures = Pictures(tmp_path)
    compute(pictures.read, pictures.paths, tmp_path / "vectors", size=8)
    return open_store(tmp_path / "vectors")


@pytest.fixture
def recipe() -> Recipe:
    return dataclasses.replace(
        read_recipe("flickr8k-cider"),
        finetune=None,
        self_critical=None,
        minimum_count=1,
        embedding=8,
        state=16,
        multimodal=24,
        batch=4,
        epochs=1,
        classes=True,
        calibrate=False,
        mixed=Mixed(sentences=0.5, sentence_batch=3, names=0.3, name_batch=6, prototypes=2, weak=2),
    )


@pytest.fixture
def stage(recipe, store) -> MixedStage:
    data = prepare_mixture(recipe, MIXTURE, store, seed=1)
    torch.manual_seed(1)
    return MixedStage(recipe, data, data.mixture, seed=1)


def test_a_mixture_is_made_ready_with_its_weak_pairs_and_targets(recipe, store):
    data = prepare_mixture(recipe, MIXTURE, store, seed=1)
    # Of a plate nobody speaks: its picture is lent no sentence, and its words are unknown.
    assert [image.name for image in data.train[2:]] == [each.name for each in MIXTURE.named[:2]]
    assert data.mixture.repeats == (1.0, 3.0, 1.0, 1.0)
    assert len(data.mixture.names.targets) == 2
    assert data.train_table.features.shape == (4, 1012)
    np.testing.assert_allclose(data.train_table.features[:, 12:].sum(axis=1), 1.0, rtol=1e-5)


def test_the_first_word_of_a_name_has_twice_what_others_have():
    vocabulary = Vocabulary(("<start>", "<end>", "<unk>", "cat", "animal"))
    found = word_shares([("lynx", "cat", "animal"), ("lynx",)], vocabulary)
    assert found[0].tolist() == pytest.approx([0, 0, 0, 2 / 3, 1 / 3])
    assert found[1].tolist() == [0] * 5


def test_in_a_prototype_the_classifier_is_sure_of_the_class():
    mean = torch.cat([torch.full((5,), 7.0), torch.full((1000,), 0.001)])
    found = prototype_vectors(np.array([3, 999]), mean, np.random.default_rng(1))
    assert found[:, :5].eq(7.0).all()
    assert found[:, 5:].argmax(dim=1).tolist() == [3, 999]
    assert found[:, 5:].sum(dim=1).tolist() == pytest.approx([1, 1])
    assert mean[5:].eq(0.001).all()


def _gradients(stage: MixedStage, cost: torch.Tensor) -> dict[str, bool]:
    """Which weights a cost reaches."""
    stage.network.zero_grad()
    torch.autograd.backward(cost)
    return {
        name: each.grad is not None and bool(each.grad.abs().sum() > 0)
        for name, each in stage.network.named_parameters()
    }


def test_sentences_alone_reach_the_language_part_and_not_the_picture_s_map(stage):
    reached = _gradients(stage, stage._of_sentences(np.random.default_rng(1)))
    assert not reached["image_to_multimodal.weight"]
    assert reached["image_to_multimodal.bias"]
    assert reached["recurrent.weight"]
    assert reached["embedding_1.weight"]


def test_names_alone_reach_the_picture_s_map_and_the_softmax_and_not_the_language_part(stage):
    reached = _gradients(stage, stage._of_names(np.random.default_rng(1)))
    assert reached["image_to_multimodal.weight"]
    assert reached["embedding_1.weight"]
    assert not reached["recurrent.weight"]
    assert not reached["state_to_multimodal.weight"]
    assert not reached["word_to_multimodal.weight"]


def test_the_costs_of_an_epoch_are_the_same_from_any_step_on(stage):
    stage.network.eval()
    with torch.no_grad():
        whole = [float(cost) for cost in stage.costs(epoch=2, first=0)]
        rest = [float(cost) for cost in stage.costs(epoch=2, first=1)]
    # 2 + 3 · 2 sentences of pairs, 2 + 2 lent ones, four a step.
    assert len(whole) == stage.steps == 3
    assert rest == whole[1:]


def test_what_the_classifier_said_before_is_forgotten_by_so_many_bits():
    before = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    assert float(forgotten(before, before)) == pytest.approx(0, abs=1e-6)
    # One picture of two: half of it at 1/4 for 1/2, half at 3/4.
    now = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    bits = 0.5 * (math.log2(0.5 / 0.25) + math.log2(0.5 / 0.75))
    assert float(forgotten(now, before)) == pytest.approx(bits / 2, abs=1e-6)


def test_the_mean_of_both_dev_sets_says_which_epoch_is_kept(stage):
    found = stage.measure(stage.network.eval())
    assert list(found.by_set) == ["one", "two"]
    assert found.cider == pytest.approx(sum(found.by_set.values()) / 2)
    assert math.isfinite(found.perplexity)


def test_vectors_go_on_where_they_were_stopped(tmp_path):
    pictures = Pictures(tmp_path)
    calls = []

    def read(pixels):
        calls.append(len(pixels))
        return pictures.read(pixels)

    compute(read, pictures.paths, tmp_path / "vectors", size=8)
    compute(read, pictures.paths, tmp_path / "vectors", size=8)
    assert sum(calls) == 2 * len(pictures.paths)
    with pytest.raises(DatasetError, match="of other pictures"):
        compute(read, pictures.paths[1:], tmp_path / "vectors", size=8)
    (tmp_path / "vectors" / "done.json").write_text('{"rows": 3}')
    with pytest.raises(DatasetError, match="has 3 of 8 rows"):
        open_store(tmp_path / "vectors")


def test_a_table_of_vectors_has_the_picture_its_mirror_image_and_its_classes(store, tmp_path):
    from PIL import Image

    table = store.table(["b", "a"], mirror=True, classes=True)
    pixels = np.asarray(Image.open(tmp_path / "b"))
    np.testing.assert_array_equal(table.features[0, :12], pixels.ravel()[:12] / np.float32(255))
    mirrored = pixels[:, ::-1].ravel()[:12] / np.float32(255)
    np.testing.assert_array_equal(table.mirrored[0, :12], mirrored)
    np.testing.assert_allclose(
        table.mirrored[0, 12:], softmax(np.tile(mirrored, 84)[None, :1000])[0], rtol=1e-6
    )
    with pytest.raises(DatasetError, match="no vectors of nobody"):
        store.table(["nobody"], mirror=False, classes=False)


def test_a_recipe_s_table_mixed_is_read_and_refused_by_key(recipe):
    assert recipe_from_dict(recipe.to_dict(), "here") == recipe
    with pytest.raises(OptionError, match=r"mixed\.prototypes is 9, expected 0 to 6"):
        dataclasses.replace(recipe.mixed, prototypes=9)
