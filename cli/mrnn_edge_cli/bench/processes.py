"""Whole processes from start to end: how long, and how much memory at most."""

import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from statistics import median
from typing import Final

from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge_cli.doctor.child import own_imports, python_m

_PEAK: Final = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
sys.stderr.write(f"\\n{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}\\n")
sys.exit(code)
"""
"""Runs a command and prints its highest resident memory. A small process between this one and the
command, because after a fork ru_maxrss counts the parent's memory too."""


def cold_start_ms(module: Sequence[str], *, times: int) -> float:
    """The median wall time of `python -m MODULE ARGUMENTS...`, in milliseconds.

    One more run comes first and is not counted: it fills the system's file cache and Python's cache
    of compiled modules. Raises MrnnEdgeError if the process fails.
    """
    command = python_m(*module)
    _run(command)
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        _run(command)
        spent.append((time.perf_counter() - start) * 1000.0)
    return median(spent)


def peak_mb(module: Sequence[str]) -> float | None:
    """The highest resident memory of such a process, in MB of 10^6 bytes; None: unknown.

    Raises MrnnEdgeError if the process fails.
    """
    if find_spec("resource") is None:  # Windows
        return None
    python, safe_path, *rest = python_m(*module)
    said = _run([python, safe_path, "-c", _PEAK, python, safe_path, *rest])
    unit = 1 if sys.platform == "darwin" else 1024
    return int(said.splitlines()[-1]) * unit / 1e6


def _run(command: Sequence[str]) -> str:
    """Run it; returns its standard error."""
    done = subprocess.run(
        command,
        env=own_imports(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode != 0:
        raise MrnnEdgeError(
            f"`{' '.join(command)}` ended with {done.returncode} "
            f"({' / '.join(said.splitlines()[-3:])}); run it by hand, and see `mrnn-edge doctor`"
        )
    return said
