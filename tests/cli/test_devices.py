"""A device that fails while the command runs: exit code 5, one line, what was done stays."""

import os
import subprocess
import sys

import pytest
from conftest import noise_picture
from fake_cuda import fake_runtime

from mrnn_edge_cli.loading import LoadOptions, load

# The real runtime, of which runs fail after so many; with "once" the graphs opened anew work.
COMMAND = """
import sys
import onnxruntime

left, lasting = int(sys.argv[1]), sys.argv[2] == "lasting"
real = onnxruntime.InferenceSession

class Failing(real):
    broken = False

    def run(self, *arguments):
        global left
        left -= 1
        if left < 0 and (lasting or not Failing.broken):
            Failing.broken = True
            raise RuntimeError("CUDA failure 719: unspecified launch failure")
        return super().run(*arguments)

onnxruntime.InferenceSession = Failing
sys.argv[1:] = sys.argv[3:]
from mrnn_edge_cli import main
main()
"""


@pytest.fixture
def failing(bundle, tmp_path):
    """`caption` of three pictures on a device that fails in the middle."""
    pictures = [noise_picture(tmp_path / f"{seed}.png", seed=seed) for seed in range(3)]

    def run(kind, *, after):
        wishes = ["caption", *pictures, "--model", bundle, "--quiet"]
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, str(after), kind, *map(str, wishes)],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "NO_COLOR": "1"},
            check=False,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

    return run


@pytest.mark.parametrize(
    ("cuda", "said"),
    [
        ({"available": ["CPUExecutionProvider"]}, "mrnn-edge: device cpu\n"),
        ({}, "mrnn-edge: device cuda:0\n"),
        ({"error": RuntimeError("no driver")}, "mrnn-edge: device cpu; cuda:0 does not work here "),
    ],
)
def test_where_auto_runs_is_said_once(bundle, monkeypatch, capsys, cuda, said):
    fake_runtime(monkeypatch, **cuda)
    load(LoadOptions(model=str(bundle)))
    lines = capsys.readouterr().err
    assert lines.startswith(said)
    assert lines.count("\n") == 1


def test_a_device_that_fails_once_costs_no_picture(failing):
    assert failing("once", after=8) == failing("once", after=10**6)


def test_a_graph_that_goes_on_failing_on_the_cpu_ends_the_command_with_4_and_one_line(failing):
    _, expected, _ = failing("once", after=10**6)
    code, captions, (line,) = failing("lasting", after=8)
    assert code == 4
    assert captions == expected[: len(captions)]
    assert len(captions) < len(expected)
    assert "CUDA failure 719" in line
    assert "mrnn-edge verify" in line
