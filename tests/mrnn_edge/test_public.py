"""What `import mrnn_edge` gives, and what it costs."""

import subprocess
import sys

import pytest

import mrnn_edge
from mrnn_edge import errors


def test_every_public_name_can_be_had():
    for name in mrnn_edge.__all__:
        assert getattr(mrnn_edge, name) is not None
    with pytest.raises(AttributeError, match="Captionist"):
        mrnn_edge.Captionist  # noqa: B018


def test_every_error_is_public_and_in_the_one_tree():
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert all(issubclass(getattr(errors, name), errors.MrnnEdgeError) for name in defined)
    drawn = errors.__doc__ or ""
    assert all(name in drawn for name in defined)


def imported_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(set(m.partition('.')[0] for m in sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "cv2",
    "numpy",
    "PIL",
    "click",
    "typer",
    "pydantic",
    "rich",
}


def test_importing_the_package_imports_nothing_heavy():
    assert not imported_after("import mrnn_edge") & HEAVY


def test_the_facade_comes_without_runtime_torch_or_command():
    found = imported_after("from mrnn_edge import Captioner")
    assert not found & (HEAVY - {"numpy", "PIL"})


def test_evaluation_comes_without_torch():
    found = imported_after("import mrnn_edge_train.evaluation.evaluate, mrnn_edge_export.card")
    assert not found & {"torch", "onnx", "onnxruntime"}


@pytest.mark.parametrize(
    "option",
    [
        "--help",
        "--version",
        *(f"{name} --help" for name in ("caption", "webcam", "train", "doctor")),
    ],
)
def test_help_and_version_import_neither_runtime_nor_numpy_nor_pillow(option):
    code = f"""
import contextlib, io
from mrnn_edge_cli.app import run
sys.argv = ["mrnn-edge", *{option.split()!r}]
with contextlib.redirect_stdout(io.StringIO()) as said:
    assert run() == 0
assert said.getvalue().strip(), "said nothing"
"""
    assert not imported_after(code) & {"onnxruntime", "numpy", "PIL", "torch", "rich"}
