import json

import numpy as np
import pytest
import tiny
from fake_cuda import fake_runtime

from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.errors import BundleError
from mrnn_edge.verify import REFERENCE_STEPS, reference_pixels, run_steps, verify_model


@pytest.fixture
def sound(tmp_path, captioner):
    metrics = {"parity": {"reference": tiny.reference(captioner)}}
    return tiny.write(tmp_path / "sound", tiny.files(metrics=metrics))


def test_a_sound_model_passes_every_check(sound):
    checks = list(verify_model(sound))
    assert [check.name for check in checks if not check.passed] == []
    assert len(checks) == 6


def test_a_gradient_that_is_not_the_steps_slope_fails_its_check(tmp_path, captioner):
    other = tiny.gradient_graph(tiny.TinyNetwork(seed=4), tiny.metadata(GraphRole.GRADIENT))
    metrics = {"parity": {"reference": tiny.reference(captioner)}}
    folder = tiny.write(tmp_path / "mixed", tiny.files(gradient=other, metrics=metrics))
    (failed,) = [check for check in verify_model(folder) if not check.passed]
    assert failed.name.startswith("gradient: ")
    (folder / "gradient.onnx").write_bytes(b"cut off")
    (failed,) = [check for check in verify_model(folder) if not check.passed]
    assert "gradient.onnx is shorter than config.json says" in failed.detail


def test_the_device_is_named(sound, monkeypatch):
    fake_runtime(monkeypatch)
    first, *_ = verify_model(sound, device="cuda")
    assert first.detail.endswith(" on cuda:0")


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (lambda r: r["image"].__setitem__(2, r["image"][2] + 1e-3), "image vector"),
        (lambda r: r["top"][4][1].__setitem__(0, r["top"][4][1][0] + 1e-3), "log-probabilities"),
        (lambda r: r.__setitem__("caption", "a red dog"), "caption"),
        (lambda r: r["image"].pop(), "image vector"),
    ],
)
def test_an_answer_that_differs_from_the_reference_fails_its_check(sound, change, failing):
    metrics = json.loads((sound / "metrics.json").read_bytes())
    change(metrics["parity"]["reference"])
    (sound / "metrics.json").write_text(json.dumps(metrics))
    failed = [check.name for check in verify_model(sound) if not check.passed]
    assert len(failed) == 1
    assert failing in failed[0]


@pytest.mark.parametrize("file", ["encoder.onnx", "step.onnx"])
def test_a_flipped_bit_in_a_graph_is_a_check_that_failed(sound, file):
    data = bytearray((sound / file).read_bytes())
    data[len(data) // 2] ^= 1
    (sound / file).write_bytes(data)
    (check,) = verify_model(sound)
    assert not check.passed
    assert f"{file} has sha256" in check.detail


def test_a_model_without_a_reference_is_refused(bundle):
    with pytest.raises(BundleError, match=r"parity\.reference is missing or malformed"):
        list(verify_model(bundle))


def test_the_reference_picture_is_the_same_everywhere(captioner):
    pixels = reference_pixels(captioner.config.image)
    assert pixels[0, 0].tolist() == [0, 85, 170]
    assert pixels[3, 5].tolist() == [(9 + 25 + 2) % 256, (9 + 25 + 85 + 2), (9 + 25 + 170 + 2)]


def test_the_walk_feeds_the_start_sign_and_then_fixed_ids():
    seen = []

    def step(token, state, image):
        seen.append(int(token[0]))
        return np.zeros((1, 5), np.float32), state + 1

    run_steps(step, np.zeros(2, np.float32), start=0, state=3)
    assert seen == [0, 3, 4, 0, 1]
    assert len(seen) == REFERENCE_STEPS
