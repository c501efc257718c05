import json
import os

import onnx
import pytest
import tiny

from mrnn_edge.bundle import (
    find_bundle,
    load_bundle,
    shipped_models,
    write_atomically,
    write_bundle,
)
from mrnn_edge.config import GraphRole, Precision
from mrnn_edge.errors import (
    BundleError,
    ModelNotFoundError,
    OptionError,
    VocabularyMismatchError,
)
from mrnn_edge.verify import verify_model


def test_a_whole_folder_hands_out_its_parts(bundle):
    loaded = load_bundle(bundle)
    assert loaded.config.name == "tiny-test"
    assert loaded.vocabulary == tiny.vocabulary()
    for role in GraphRole:
        data = (bundle / f"{role}.onnx").read_bytes()
        assert loaded.graph(Precision.FLOAT32, role) == data


def test_a_name_that_is_neither_model_nor_folder_is_refused_with_the_names_there_are(tmp_path):
    with pytest.raises(ModelNotFoundError, match="shipped models"):
        find_bundle("no-such-model")
    for odd in ("x" * 5000, "a\0b"):
        with pytest.raises(ModelNotFoundError):
            find_bundle(odd)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ModelNotFoundError, match="is a file"):
        find_bundle(file)


@pytest.mark.parametrize(
    "name", ["config.json", "vocab.json", "encoder.onnx", "step.onnx", "gradient.onnx"]
)
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name}.* is missing"):
        load_bundle(bundle)


@pytest.mark.parametrize("role", GraphRole)
@pytest.mark.parametrize("bit", [0, 4_000])
def test_a_flipped_bit_in_a_graph_is_found_by_its_hash(bundle, role, bit):
    path = bundle / f"{role}.onnx"
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(data)
    with pytest.raises(BundleError, match=rf"{role}\.onnx has sha256"):
        load_bundle(bundle).graph(Precision.FLOAT32, role)


def test_a_graph_with_weights_outside_its_file_is_refused(tmp_path):
    graph = onnx.load_from_string(tiny.files()["encoder.onnx"])
    onnx.external_data_helper.set_external_data(graph.graph.initializer[2], "weights.bin")
    graph.graph.initializer[2].ClearField("raw_data")
    folder = tiny.write(tmp_path, tiny.files(encoder=graph.SerializeToString()))
    with pytest.raises(BundleError, match="outside its file"):
        load_bundle(folder).graph(Precision.FLOAT32, GraphRole.ENCODER)


def test_a_graph_that_is_cut_off_is_found_by_its_size(bundle):
    path = bundle / "step.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match="cut off or replaced"):
        load_bundle(bundle).graph(Precision.FLOAT32, GraphRole.STEP)


def test_a_git_lfs_pointer_is_called_one(bundle):
    (bundle / "step.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(BundleError, match="git lfs pull"):
        load_bundle(bundle).graph(Precision.FLOAT32, GraphRole.STEP)


@pytest.mark.parametrize(
    "name", ["../encoder.onnx", "/etc/x.onnx", "a/b.onnx", "encoder", "", "\0.onnx"]
)
def test_a_graph_name_with_path_parts_is_refused(bundle, name):
    def change(config):
        config["precisions"]["float32"]["encoder"]["file"] = name

    tiny.edit_config(bundle, change)
    with pytest.raises(BundleError, match="expected a plain file name"):
        load_bundle(bundle)


def test_a_vocabulary_of_another_length_is_refused(bundle):
    words = json.loads((bundle / "vocab.json").read_bytes())
    (bundle / "vocab.json").write_text(json.dumps([*words, "extra"]))
    with pytest.raises(VocabularyMismatchError, match="13 words, config.json says 12"):
        load_bundle(bundle)


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"a": 1}', b"[1, 2]"])
def test_a_vocabulary_that_is_no_list_of_words_is_refused(bundle, content):
    (bundle / "vocab.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"vocab\.json"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"version https://git-lfs", b"[" * 100_000, b'{"a": NaN}']
)
def test_a_config_that_is_no_json_is_refused(bundle, content):
    (bundle / "config.json").write_bytes(content)
    with pytest.raises(BundleError, match="is not JSON"):
        load_bundle(bundle)


def test_a_precision_that_the_bundle_lacks_is_refused_with_those_it_has(bundle):
    with pytest.raises(OptionError, match="has no int8 graphs; it has float32"):
        load_bundle(bundle).graph(Precision.INT8, GraphRole.STEP)


def test_a_bundle_is_written_whole_and_never_over_another(tmp_path):
    folder = tmp_path / "new" / "model"
    write_bundle(folder, tiny.files())
    assert load_bundle(folder).config.name == "tiny-test"
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(folder, tiny.files())


def test_a_bundle_that_fails_half_way_leaves_nothing(tmp_path):
    broken = {**tiny.files(), "README.md": "text in place of bytes"}
    with pytest.raises(TypeError):
        write_bundle(tmp_path / "model", broken)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_every_shipped_model_verifies():
    names = shipped_models()
    assert names
    for name in names:
        assert load_bundle(name).config.name == name
        checks = list(verify_model(name, threads=1))
        assert len(checks) >= 2
        assert [check for check in checks if not check.passed] == []
