"""The wheel: four packages, the shipped models, both licences, and nothing else."""

import email
import re
import subprocess
import sys
import zipfile

import pytest

from mrnn_edge import __version__
from mrnn_edge.bundle.folder import load_bundle, shipped_models


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=root,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (path,) = folder.iterdir()
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_only_the_four_packages_land_in_site_packages(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {
        "mrnn_edge",
        "mrnn_edge_cli",
        "mrnn_edge_train",
        "mrnn_edge_export",
        f"mrnn_edge-{__version__}.dist-info",
    }


def test_the_models_their_default_the_recipes_and_the_types_ship(wheel):
    names = set(wheel.namelist())
    assert {"mrnn_edge/py.typed", "mrnn_edge/models/default"} <= names
    assert "mrnn_edge_train/recipes/flickr8k-lite2.toml" in names
    assert shipped_models()
    for model in shipped_models():
        pairs = load_bundle(model).config.precisions
        graphs = [graph.file for pair in pairs.values() for graph in (pair.encoder, pair.step)]
        for file in ("config.json", "vocab.json", "metrics.json", "README.md", *graphs):
            assert f"mrnn_edge/models/{model}/{file}" in names


def test_no_pair_of_graphs_is_above_its_limit():
    limits = {"float32": 50e6, "int8": 18e6}
    for model in shipped_models():
        for precision, pair in load_bundle(model).config.precisions.items():
            assert pair.bytes < limits[precision], (model, precision)


def test_tiny_is_below_six_megabytes_with_all_its_files():
    folder = load_bundle("tiny").folder
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6e6


def test_the_metadata_tell_code_and_weights_apart(wheel):
    text = wheel.read(f"mrnn_edge-{__version__}.dist-info/METADATA").decode()
    metadata = email.message_from_string(text)
    assert metadata["License-Expression"] == "Apache-2.0 AND LicenseRef-Flickr8K-NonCommercial"
    assert "non-commercial" in metadata["Summary"]
    assert set(metadata.get_all("License-File")) == {"LICENSE", "LICENSE-WEIGHTS.md"}


def test_the_base_install_needs_neither_runtime_nor_torch(wheel):
    text = wheel.read(f"mrnn_edge-{__version__}.dist-info/METADATA").decode()
    needs = email.message_from_string(text).get_all("Requires-Dist")
    base = {re.split("[<>=]", need)[0] for need in needs if "extra ==" not in need}
    assert base == {"numpy", "pillow", "rich", "typer"}


def test_the_wheel_stays_under_70_mb(wheel):
    assert sum(info.compress_size for info in wheel.infolist()) < 80e6
