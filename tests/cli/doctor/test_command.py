"""`mrnn-edge doctor` from outside: exit codes, lines, JSON."""

import json
import os
import subprocess
import sys

import faked
import pytest
import tiny


@pytest.fixture
def doctor(command, bundle, tmp_path):
    """The command, with a model and a folder of packages that goes before the installed ones."""
    packages = tmp_path / "packages"
    packages.mkdir()

    def run(*arguments, model=bundle):
        path = os.pathsep.join(filter(None, (str(packages), os.environ.get("PYTHONPATH"))))
        return command("doctor", "--model", model, *arguments, env={"PYTHONPATH": path})

    run.packages, run.bundle = packages, bundle
    return run


def test_doctor_prints_a_line_a_check_and_ends_with_0(doctor):
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for name in ("mrnn-edge", "python", "processor", "pillow", "onnxruntime", "cpu", "model model"):
        (line,) = (line for line in lines if line[7:].startswith(f"{name}  "))
        assert line.startswith("ok     ")
    assert {line[:5] for line in lines} <= {"ok   ", "info ", "     "}


def test_doctor_json_is_one_document_of_checks(doctor):
    document = json.loads(doctor("--json").stdout)
    assert set(document) == {"exit_code", "checks"}
    assert document["exit_code"] == 0
    for check in document["checks"]:
        assert list(check) == ["area", "name", "status", "found", "advice"]
        assert check["area"] in ("installation", "device", "model", "camera")
        assert check["status"] in ("ok", "info", "fault")
        assert isinstance(check["found"], str)
        assert check["advice"] is None or isinstance(check["advice"], str)


def test_a_damaged_model_ends_with_4(doctor):
    (doctor.bundle / "step.onnx").write_bytes(b"damage")
    done = doctor()
    assert (done.returncode, done.stderr) == (4, "")
    assert "FAULT  model model" in done.stdout
    assert "-> it is truncated or replaced: copy the folder again" in done.stdout


def test_a_model_that_is_not_there_ends_with_4(doctor):
    done = doctor(model="nowhere")
    assert (done.returncode, done.stderr) == (4, "")
    assert "FAULT  model nowhere" in done.stdout
    assert "shipped models: " in done.stdout


def test_a_runtime_that_is_not_there_ends_with_5_and_the_line_to_run(doctor):
    faked.module(doctor.packages, "onnxruntime", "raise ImportError('No module')")
    done = doctor()
    assert (done.returncode, done.stderr) == (5, "")
    assert "pip install 'mrnn-edge[cpu]'" in done.stdout


def test_two_runtimes_end_with_5_and_the_two_lines_to_run(doctor):
    faked.wheel(doctor.packages, "onnxruntime-gpu", "onnxruntime")
    faked.wheel(doctor.packages, "onnxruntime", "onnxruntime")
    done = doctor()
    assert (done.returncode, done.stderr) == (5, "")
    assert "-> run: pip uninstall --yes onnxruntime onnxruntime-gpu\n" in done.stdout
    assert "-> run: pip install 'mrnn-edge[" in done.stdout


def test_the_most_basic_fault_gives_the_exit_code(doctor):
    faked.wheel(doctor.packages, "onnxruntime-directml", "onnxruntime")
    (doctor.bundle / "step.onnx").write_bytes(b"damage")
    document = json.loads(doctor("--json").stdout)
    faults = [check["area"] for check in document["checks"] if check["status"] == "fault"]
    assert {"device", "model"} <= set(faults)
    assert document["exit_code"] == 5


def test_two_wheels_of_opencv_end_with_6(doctor):
    faked.wheel(doctor.packages, "opencv-python", "cv2")
    faked.wheel(doctor.packages, "opencv-python-headless", "cv2")
    done = doctor()
    assert (done.returncode, done.stderr) == (6, "")
    assert "FAULT  cv2 wheels" in done.stdout


def test_a_numpy_that_cannot_be_imported_is_told_without_a_traceback(doctor):
    faked.module(doctor.packages, "numpy", "raise RuntimeError('built for another processor')")
    done = doctor()
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAULT  numpy" in done.stdout
    assert "built for another processor" in done.stdout
    assert "ok     mrnn-edge" in done.stdout


def test_a_device_that_is_none_is_a_usage_error(doctor):
    done = doctor("--device", "tpu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected auto, cpu, cuda" in done.stderr


def test_a_reader_that_leaves_ends_doctor_without_a_word(tmp_path):
    model = tiny.write(tmp_path / "model")
    process = subprocess.Popen(
        [sys.executable, "-m", "mrnn_edge_cli", "doctor", "--model", str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, b"")
