"""Runs a probe in a process of its own, so that what hangs or crashes there is only a finding.

Importing a native library that was built for another processor ends the process, without an
exception to catch; opening a camera may never return.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: facts, or why there are none."""

    facts: dict[str, Any]
    failure: str | None = None


def python_m(module: str, *arguments: str) -> list[str]:
    """The command of a module in a child that imports nothing from its current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def own_imports() -> dict[str, str]:
    """The environment in which such a child imports what this process would, and no more."""
    search_path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": search_path}


def ask(probe: str, *arguments: str, seconds: float) -> Answer:
    """What a probe of probe.py answers; after `seconds` its process is ended."""
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
        return Answer(facts={}, failure=f"no answer in {seconds:g} s; its process was ended")
    finally:
        if process.poll() is None:
            process.kill()
            # A process that a driver holds cannot even be killed: it is left behind.
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
        for pipe in filter(None, (process.stdout, process.stderr)):
            pipe.close()
    # Native libraries write to standard output as they please; the answer is the last line.
    last = output.decode(errors="replace").strip().rpartition("\n")[2]
    try:
        answer = json.loads(last)
    except ValueError:
        return Answer(facts={}, failure=_end(process.returncode, errors))
    return Answer(facts=answer, failure=answer.get("failure"))


def _end(code: int, errors: bytes) -> str:
    last = errors.decode(errors="replace").strip().rpartition("\n")[2].strip()
    how = f"exit code {code}"
    if code < 0:
        with suppress(ValueError):
            how = signal.Signals(-code).name
    return f"its process ended with {how}{f': {last}' if last else ''}"
