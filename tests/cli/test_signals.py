"""Ctrl-C and SIGTERM end the command with 130 and 143, without a traceback."""

import os
import signal
import subprocess
import time

import pytest
import tiny
from foreground import COMMAND


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_with_its_code(tmp_path, number, code):
    model = tiny.write(tmp_path / "model")
    # Standard input is a pipe that stays open: the command waits in it until the signal comes.
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, "caption", "-", "--model", str(model)],
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert b"device cpu" in process.stderr.readline()  # loaded, and about to read
    time.sleep(0.2)
    process.send_signal(number)
    try:
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        os.close(writing)
        os.close(reading)
    assert process.returncode == code
    assert output == b""
    assert b"Traceback" not in errors
