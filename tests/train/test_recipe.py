import dataclasses

import pytest

from mrnn_edge.errors import OptionError
from mrnn_edge_train.recipe import named_recipes, read_recipe, recipe_from_dict


@pytest.mark.parametrize("name", named_recipes())
def test_every_named_recipe_is_sound_and_survives_its_json_form(name):
    recipe = read_recipe(name)
    assert recipe_from_dict(recipe.to_dict(), "run.json") == recipe


def test_a_recipe_that_is_neither_name_nor_file_is_refused_with_the_names_there_are():
    with pytest.raises(OptionError, match="recipes: .*flickr8k-lite2"):
        read_recipe("nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0, expected 1 or more"),
        ({"epochs": 1.5}, "epochs is 1.5, expected int"),
        ({"drop_word": 1.0}, "drop_word is 1.0"),
        ({"learning_rate": -1}, "learning_rate is -1, expected above 0"),
        ({"encoder": 3}, "encoder is 3, expected str"),
        ({"cell": "rnn"}, "cell is 'rnn', expected one of relu, gru, lstm"),
        ({"tied": 1}, "tied is 1, expected bool"),
        ({"beam": True}, "beam is True, expected int"),
        ({"average": 1.0}, "average is 1.0"),
        ({"finetune": 3}, "finetune is int, expected an object"),
        ({"finetune": {"speed": 1}}, "unknown key finetune.speed"),
        ({"finetune": {}}, "the key finetune.epochs is missing"),
        ({"colour": "red"}, "unknown key colour"),
        ({"schedule": "linear"}, "schedule is 'linear', expected one of cosine, constant"),
        ({"mirror": "no"}, "mirror is 'no', expected bool"),
    ],
)
def test_a_wrong_value_is_refused_by_name(change, message):
    values = {**read_recipe("flickr8k-lite2").to_dict(), **change}
    with pytest.raises(OptionError, match=message):
        recipe_from_dict(values, "test")


def test_a_missing_key_is_named():
    values = read_recipe("flickr8k-lite2").to_dict()
    del values["clip"]
    with pytest.raises(OptionError, match="the key clip is missing"):
        recipe_from_dict(values, "test")


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("epochs = ")
    with pytest.raises(OptionError, match="is not TOML"):
        read_recipe(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop_size": 100}, "finetune.crop_size is 100, expected a multiple of 32"),
        ({"smallest_crop": 0.0}, "finetune.smallest_crop is 0.0"),
        ({"frozen": 1.5}, "finetune.frozen is 1.5, expected 0 to 1"),
        ({"images": 0}, "finetune.images is 0"),
        ({"nothing": 1.0}, "finetune.nothing is 1.0, expected at least 0 and below 1"),
        ({"colour": 0.4}, "unknown key finetune.colour"),
        ({"cnn_rate": 0}, "finetune.cnn_rate is 0,"),
        ({"bfloat16": "yes"}, "bfloat16 is 'yes', expected bool"),
    ],
)
def test_a_wrong_value_of_the_second_stage_is_refused_by_name(change, message):
    values = read_recipe("flickr8k").to_dict()
    values["finetune"] = {**values["finetune"], **change}
    with pytest.raises(OptionError, match=message):
        recipe_from_dict(values, "test")


def test_the_papers_recipe_has_its_sizes_and_its_cost_and_nothing_else():
    recipe = read_recipe("m-rnn")
    assert (recipe.embedding, recipe.state, recipe.multimodal) == (128, 256, 512)
    assert (recipe.cell, recipe.tied, recipe.finetune) == ("relu", False, None)
    assert recipe.l2 > 0
    added = (recipe.drop_image, recipe.drop_word, recipe.drop_multimodal)
    assert (*added, recipe.label_smoothing, recipe.average) == (0.0,) * 5


def test_the_papers_base_is_its_recipe_without_the_picture():
    base, recipe = read_recipe("m-rnn-base"), read_recipe("m-rnn")
    assert not base.image
    assert dataclasses.replace(base, image=True) == recipe


def test_a_cnn_whose_picture_reaches_nothing_is_not_tuned():
    values = {**read_recipe("flickr8k").to_dict(), "image": False}
    with pytest.raises(OptionError, match="no picture reaches the network"):
        recipe_from_dict(values, "test")


def test_captions_of_pictures_that_are_not_seen_are_not_rewarded():
    rewarded = read_recipe("flickr8k-cider").to_dict()["self_critical"]
    values = {
        **read_recipe("m-rnn-base").to_dict(),
        "self_critical": {**rewarded, "crops": 0, "nothing": 0.0},
    }
    with pytest.raises(OptionError, match=r"\[self_critical\] is given, but no picture reaches"):
        recipe_from_dict(values, "test")


def test_keys_that_came_later_may_be_missing_and_are_then_off():
    values = read_recipe("m-rnn").to_dict()
    for key in ("image", "calibrate"):
        del values[key]
    recipe = recipe_from_dict(values, "an older run.json")
    assert (recipe.image, recipe.calibrate) == (True, False)


def test_a_run_of_before_whose_former_keys_changed_nothing_is_read():
    recipe = read_recipe("flickr8k")
    values = recipe.to_dict()
    values["finetune"] |= {"colour": 0.0, "compile": False}
    assert recipe_from_dict(values, "an older run.json") == recipe
