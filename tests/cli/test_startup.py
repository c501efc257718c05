"""What the command imports, and when. A package too many is time that every start takes."""

import inspect
import os
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import tiny
from conftest import noise_picture
from PIL import Image

from mrnn_edge import Captioner
from mrnn_edge_cli.app import _COMMANDS, run

NEVER = {"torch", "onnx", "cv2", "pydantic", "click", "rich", "scipy", "mrnn_edge_train"}
"""What a caption has no use for where no terminal shows a bar."""
NOT_FOR_HELP = NEVER | {"numpy", "PIL", "onnxruntime", "importlib.metadata", "concurrent.futures"}


@pytest.fixture
def imported(tmp_path):
    """The modules that are there when a run of the command ends."""

    def run(*arguments: object) -> set[str]:
        found = tmp_path / "modules"
        script = f"""
import sys
from mrnn_edge_cli.app import run
assert run() == 0
open({str(found)!r}, "w").write(" ".join(sys.modules))
"""
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.strip(), "said nothing"
        return set(found.read_text().split())

    return run


@pytest.mark.parametrize("arguments", ["--help", "--version", "caption --help", "info --help"])
def test_help_and_version_import_no_package_but_typer(imported, arguments):
    found = imported(*arguments.split())
    assert not found & NOT_FOR_HELP
    assert "typer" in found


def test_the_list_of_commands_is_printed_without_their_modules(imported):
    found = imported("--help")
    homes = {f"mrnn_edge_cli.{home.module}" for home in _COMMANDS.values()}
    assert not found & (homes | {"mrnn_edge.bundle.config", "mrnn_edge_cli.options"})


def test_the_name_of_a_command_is_completed_without_its_module():
    code = (
        "import sys; from mrnn_edge_cli import app\n"
        "try: app.get_command(app.app)(prog_name='mrnn-edge')\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    words = {
        "_MRNN_EDGE_COMPLETE": "complete_bash",
        "COMP_WORDS": "mrnn-edge ca",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["caption"]
    assert "mrnn_edge_cli.caption.command" not in done.stderr.split()


def test_a_caption_imports_the_runtime_and_what_reads_pictures_alone(imported, tmp_path, picture):
    model = tiny.write(tmp_path / "model")
    found = imported("caption", picture, "--beam", 1, "--model", model)
    assert {"numpy", "PIL.Image", "onnxruntime", "mrnn_edge.captioner"} <= found
    assert not found & NEVER
    homes = {f"mrnn_edge_cli.{home.module}" for home in _COMMANDS.values()}
    assert found & homes == {"mrnn_edge_cli.caption.command"}


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("bulk.listing", {"PIL", "numpy", "mrnn_edge.language.records"}),
        ("engine.opening", {"PIL", "numpy", "onnxruntime", "mrnn_edge.engine.runtime"}),
    ],
)
def test_files_are_listed_and_graphs_begun_before_any_package_is_imported(module, without):
    code = f"import sys, mrnn_edge.{module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not set(done.stdout.split()) & without


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_list_says_of_a_command_what_its_docstring_says(name):
    home = _COMMANDS[name]
    function = getattr(import_module(f"mrnn_edge_cli.{home.module}"), home.function)
    first = (inspect.getdoc(function) or "").split("\n\n")[0]
    assert " ".join(first.split()) == home.summary


def test_a_command_with_a_typing_error_is_told_the_one_that_was_meant(command):
    done = command("capton")
    assert done.returncode == 2
    assert "No such command 'capton'. Did you mean 'caption'?" in done.stderr


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("weight", ["projection_bias", "softmax_bias"])
def test_weights_that_are_not_finite_are_refused_with_one_picture_and_with_more(
    command, tmp_path, pictures, weight
):
    network = tiny.TinyNetwork()
    network.weights[weight][0] = np.nan
    model = tiny.write(tmp_path / "model", tiny.files(network))
    named = [noise_picture(tmp_path / f"{seed}.jpg", seed=seed) for seed in range(pictures)]
    # An array is begun before its first picture, and after the model was checked.
    wishes = ["--json"] if pictures > 1 else []
    done = command("caption", *named, *wishes, "--model", model, "--device", "cpu")
    assert done.returncode == 4
    assert "export the model again" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("pictures", [1, 3])
def test_a_picture_that_a_sound_model_cannot_take_is_that_pictures_failure(
    tmp_path, monkeypatch, capsys, pictures
):
    network = tiny.TinyNetwork()
    network.weights["projection"][:] = 0
    network.weights["projection"][0, 0] = np.float32(3e36)  # white alone overflows
    named = [tmp_path / f"{number}.png" for number in range(pictures)]
    for number, file in enumerate(named):
        Image.new("RGB", (16, 16), "grey" if number == 1 else "white").save(file)
    model = tiny.write(tmp_path / "model", tiny.files(network))
    grey, real = [], Captioner.check
    monkeypatch.setattr(Captioner, "check", lambda self: grey.append(self) or real(self))
    monkeypatch.setattr(
        "sys.argv", ["mrnn-edge", "caption", *map(str, named), "--model", str(model)]
    )
    assert run() == 3
    said = capsys.readouterr()
    assert said.out.count("\n") == (0 if pictures == 1 else 1)
    assert said.err.count("not finite") == (1 if pictures == 1 else 2)
    assert len(grey) == 1, "the model is asked once, however many pictures fail"


@pytest.mark.parametrize("data", [b"no picture", None])
def test_one_picture_that_cannot_be_read_is_that_pictures_failure(command, tmp_path, data):
    file = tmp_path / "picture.jpg"
    if data is not None:
        file.write_bytes(data)
    done = command("caption", file, "--model", tiny.write(tmp_path / "model"), "--device", "cpu")
    assert done.returncode == 3
    assert "picture.jpg" in done.stderr


def test_a_model_that_cannot_be_opened_is_refused_whatever_the_picture(command, tmp_path, picture):
    model = tiny.write(tmp_path / "model")
    (model / "step.onnx").write_bytes((model / "step.onnx").read_bytes()[:-1])
    for file in (picture, tmp_path / "none.jpg"):
        done = command("caption", file, "--model", model, "--device", "cpu")
        assert done.returncode == 4
        assert "step.onnx is shorter" in done.stderr
