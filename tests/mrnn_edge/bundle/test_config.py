import copy
import json

import pytest
import tiny

from mrnn_edge.bundle.config import BundleConfig
from mrnn_edge.errors import BundleError, OptionError
from mrnn_edge.options import DecodeOptions


@pytest.fixture
def data():
    return json.loads(tiny.files()["config.json"])


def test_a_config_survives_its_json_form(data):
    config = BundleConfig.from_dict(copy.deepcopy(data))
    assert json.loads(json.dumps(config.to_dict())) == data


def _set(*path_and_value):
    *path, last, value = path_and_value

    def change(data):
        for key in path:
            data = data[key]
        data[last] = value

    return change


def _delete(*path):
    *parents, last = path

    def change(data):
        for key in parents:
            data = data[key]
        del data[last]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("format", 99), "newer mrnn-edge"),
        (_set("format", "1"), "format is '1'"),
        (_set("colour", 1), "unknown key colour"),
        (_set("image", "depth", 3), r"unknown key image\.depth"),
        (_delete("sizes"), "key sizes is missing"),
        (_delete("sizes", "state"), r"key sizes\.state is missing"),
        (_set("sizes", "state", "4"), r"sizes\.state is '4', expected int"),
        (_set("sizes", "state", True), r"sizes\.state is True, expected int"),
        (_set("sizes", "state", -1), r"sizes\.state is -1, expected 0 or more"),
        (_set("sizes", 7), "sizes is int, expected an object"),
        (_set("image", "resize", "crop"), r"image\.resize is 'crop', expected one of squash"),
        (_set("image", "height", 10**6), r"image\.height is 1000000, expected 1 to 4096"),
        (_set("image", "width", 4097), r"image\.width is 4097, expected 1 to 4096"),
        (_set("image", "width", 0), r"image\.width is 0, expected 1 to 4096"),
        (_set("precisions", {}), "precisions is empty"),
        (_set("precisions", "float64", {}), "precisions is 'float64'"),
        (_set("default_precision", "int8"), "default_precision is int8"),
        (_set("precisions", "float32", "encoder", "bytes", None), r"float32\.encoder\.bytes"),
        (_set("decoding", "length_penalty", "0.7"), r"decoding\.length_penalty"),
        (_set("decoding", "length_penalty", 1000), r"decoding\.length_penalty is 1000"),
        (_set("training", "none"), "training is str, expected an object"),
        (_set("licence", []), "licence is list, expected an object"),
    ],
)
def test_a_malformed_config_is_refused_by_the_name_of_its_key(data, change, message):
    change(data)
    with pytest.raises(BundleError, match=message):
        BundleConfig.from_dict(data)


def test_keys_with_a_default_may_be_absent(data):
    del data["decoding"], data["image"]["resize"]
    config = BundleConfig.from_dict(data)
    assert config.decoding.length_penalty == 0
    assert config.image.resize == "squash"


@pytest.mark.parametrize("data", [None, [], 3, "text"])
def test_json_that_is_no_object_is_refused(data):
    with pytest.raises(BundleError, match="format is None"):
        BundleConfig.from_dict(data)


def test_the_beam_is_wide_enough_for_the_sentences_wanted():
    assert DecodeOptions(beam=3, nbest=5).width == 5
    assert DecodeOptions(beam=3, nbest=1).width == 3


@pytest.mark.parametrize(
    "wish",
    [
        {"beam": 0},
        {"nbest": 0},
        {"max_words": 0},
        {"length_penalty": float("nan")},
        {"length_penalty": -1},
        {"length_penalty": 1e308},
    ],
)
def test_a_wish_out_of_range_is_refused(wish):
    with pytest.raises(OptionError, match=next(iter(wish))):
        DecodeOptions(**wish)
