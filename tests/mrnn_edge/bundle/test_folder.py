import json
import os
import stat
import string

import onnx
import pytest
import tiny
from hypothesis import assume, given
from hypothesis import strategies as st

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import GraphRole, Precision
from mrnn_edge.bundle.folder import find_bundle, load_bundle, shipped_models
from mrnn_edge.bundle.write import write_bundle
from mrnn_edge.errors import (
    BundleError,
    ModelNotFoundError,
    OptionError,
    VocabularyMismatchError,
)
from mrnn_edge.files import write_whole
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


@pytest.mark.parametrize("place", ["weights.bin", "/etc/passwd", "../secret", "link.bin"])
def test_a_graph_with_weights_outside_its_file_is_refused_wherever_they_are(tmp_path, place):
    graph = onnx.load_from_string(tiny.files()["encoder.onnx"])
    onnx.external_data_helper.set_external_data(graph.graph.initializer[2], place)
    graph.graph.initializer[2].ClearField("raw_data")
    folder = tiny.write(tmp_path / "model", tiny.files(encoder=graph.SerializeToString()))
    (tmp_path / "secret").write_bytes(bytes(100))
    (folder / "link.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="outside its file"):
        load_bundle(folder).graph(Precision.FLOAT32, GraphRole.ENCODER)


def test_a_graph_that_is_cut_off_is_found_by_its_size(bundle):
    path = bundle / "step.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match="truncated or replaced"):
        load_bundle(bundle).graph(Precision.FLOAT32, GraphRole.STEP)


def test_a_graph_that_is_longer_than_it_says_is_read_no_further(bundle):
    path = bundle / "step.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="is longer than config.json says"):
        load_bundle(bundle).graph(Precision.FLOAT32, GraphRole.STEP)


@pytest.mark.parametrize("name", ["config.json", "vocab.json"])
def test_a_json_file_without_end_is_read_no_further_than_the_limit(bundle, name, monkeypatch):
    monkeypatch.setattr("mrnn_edge.bundle.folder._MAX_JSON_BYTES", 10)
    with pytest.raises(BundleError, match="more than 10 bytes"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "encoder.onnx"])
def test_a_fifo_or_a_device_in_the_place_of_a_file_is_refused_without_waiting(bundle, name):
    for put in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (bundle / name).unlink()
        put(bundle / name)
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            load_bundle(bundle).graph(Precision.FLOAT32, GraphRole.ENCODER)


def test_a_folder_of_links_as_caches_have_them_is_read(bundle, tmp_path):
    linked = tmp_path / "snapshot"
    linked.mkdir()
    for file in bundle.iterdir():
        (linked / file.name).symlink_to(file)
    assert load_bundle(linked).graph(Precision.FLOAT32, GraphRole.STEP)


def test_a_folder_that_is_read_only_is_read_and_left_as_it_is(bundle):
    for path in (*bundle.iterdir(), bundle):
        path.chmod(path.stat().st_mode & ~0o222)
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert Captioner.load(bundle, device="cpu").config.name == "tiny-test"
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    bundle.chmod(0o755)


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


PLAIN = {*string.ascii_letters, *string.digits, "_", "-"}


@given(st.text(max_size=20))
def test_a_name_is_read_only_if_it_is_plain(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp() / "names"
    if not folder.exists():
        tiny.write(folder)

    def change(config):
        config["precisions"]["float32"]["encoder"]["file"] = name

    tiny.edit_config(folder, change)
    parts = name.split(".")
    plain = (
        len(parts) > 1
        and all(part and set(part) <= PLAIN for part in parts)
        and parts[-1] in ("onnx", "npy")
    )
    assume(not plain or not (folder / name).exists())
    with pytest.raises(BundleError, match="is missing" if plain else "expected a plain file name"):
        load_bundle(folder)


def test_a_vocabulary_of_another_length_is_refused(bundle):
    words = json.loads((bundle / "vocab.json").read_bytes())
    (bundle / "vocab.json").write_text(json.dumps([*words, "extra"]))
    with pytest.raises(VocabularyMismatchError, match="13 words, config.json says 12"):
        load_bundle(bundle)


def test_a_word_that_is_a_formula_is_refused_when_the_model_is_loaded(bundle):
    words = json.loads((bundle / "vocab.json").read_bytes())
    (bundle / "vocab.json").write_text(json.dumps([*words[:-1], "=cmd|'/C calc'!A0"]))
    with pytest.raises(VocabularyMismatchError, match="word 11 of the vocabulary is"):
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
    with pytest.raises(OptionError, match="exists already"):
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
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="folders are synced on POSIX alone")
def test_the_name_of_a_file_reaches_the_disk_after_its_bytes_and_its_place(tmp_path, monkeypatch):
    path, synced, real = tmp_path / "file", [], os.fsync

    def fsync(number):
        folder = stat.S_ISDIR(os.fstat(number).st_mode)
        synced.append(("folder" if folder else "file", path.exists()))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, b"new")
    assert synced == [("file", False), ("folder", True)]


def test_every_shipped_model_verifies():
    names = shipped_models()
    assert names
    for name in names:
        assert load_bundle(name).config.name == name
        checks = list(verify_model(name, threads=1))
        assert len(checks) >= 2
        assert [check for check in checks if not check.passed] == []
