"""Runs a probe in a process of its own, so that what hangs or crashes there is only a finding.

Importing a native library that was built for another processor ends the process without an
exception; opening a camera or a window may never return.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any


def python_m(module: str, *arguments: str) -> list[str]:
    """The command of a module in a child that imports nothing from its current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def own_imports() -> dict[str, str]:
    """The environment in which such a child imports what this process would, and no more."""
    search_path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": search_path}


def ask(probe: str, *arguments: str, seconds: float) -> dict[str, Any]:
    """The facts that a probe of probe.py returns, or `failure`; killed after `seconds`."""
    process = subprocess.Popen(
        python_m("mrnn_edge_cli.doctor.probe", probe, *arguments),
        env={**own_imports(), "OPENCV_LOG_LEVEL": "SILENT"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        # A process that a driver holds cannot even be killed: it is left behind.
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
        return {"failure": f"no answer in {seconds:g} s; its process was ended"}
    # Native libraries write to standard output as they please; the answer is the last line.
    try:
        facts: dict[str, Any] = json.loads(_last_line(output))
    except ValueError:
        return {"failure": _end(process.returncode, _last_line(errors))}
    return facts


def _last_line(data: bytes) -> str:
    return data.decode(errors="replace").strip().rpartition("\n")[2].strip()


def _end(code: int, said: str) -> str:
    how = f"exit code {code}"
    with suppress(ValueError):  # no signal ended it
        how = signal.Signals(-code).name
    return f"its process ended with {how}{f': {said}' if said else ''}"
