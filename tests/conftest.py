"""Fixtures that many tests share. The model is generated (tiny.py); no test reaches a network."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import settings
from PIL import Image

from mrnn_edge import Captioner

# Before torch is imported, here or in a child. The tests run side by side, and the threads of one
# process spin into the cores of the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# For tests that import ONNX Runtime themselves; tests/test_privacy.py takes it away again.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Fixed examples: a red run is red again. No deadline: speed is the benchmarks' business.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MRNN_EDGE_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def flickr8k() -> Path:
    """The real data set; tests that need it skip where it is not."""
    return _data("flickr8k")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Captions with published scores; tests that need them skip where they are not."""
    return _data("golden")


def _data(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs {name} in {DATA}; name its parent folder in MRNN_EDGE_DATA")
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A tiny model folder that the test may damage."""
    return tiny.write(tmp_path / "model")


@pytest.fixture(scope="session")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    """The tiny model, opened on one thread."""
    folder = tiny.write(tmp_path_factory.mktemp("tiny") / "model")
    return Captioner.load(folder, device="cpu", threads=1)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A JPEG of noise, 40 x 30."""
    return noise_picture(tmp_path / "noise.jpg")


def noise_picture(path: Path, *, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def command(tmp_path: Path):
    """Run `mrnn-edge` as a process of its own, away from the checkout."""

    def run(*arguments: object, env: dict[str, str] | None = None, stdin: Path | None = None):
        # METEOR takes ten seconds, most of them Java's.
        without_java = {"PATH": os.path.dirname(sys.executable)} if "eval" in arguments else {}
        done = subprocess.run(
            [sys.executable, "-m", "mrnn_edge_cli", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **without_java, "NO_COLOR": "1", **(env or {})},
            input=stdin.read_bytes() if stdin else b"",
            capture_output=True,
            timeout=120,
            check=False,
        )
        output = (done.stdout.decode(), done.stderr.decode())
        return subprocess.CompletedProcess(done.args, done.returncode, *output)

    return run
