"""Whole processes from their start to their end: how long, and how much memory at most.

Takes the arguments of a Python module, gives numbers; knows not what the module does.
"""

import subprocess
import time
from collections.abc import Sequence
from statistics import median

from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge_cli.doctor.child import own_imports, python_m


def cold_start_ms(module: Sequence[str], *, times: int) -> float:
    """The median wall time of `python -m MODULE ARGUMENTS...`, in milliseconds.

    One more comes first and is not counted: after it files lie in the system's cache and compiled
    modules on the disk, as for a second run of the command. Raises MrnnEdgeError where
    the process fails.
    """
    _run(module)
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        _run(module)
        spent.append((time.perf_counter() - start) * 1000.0)
    return median(spent)


def peak_mb(module: Sequence[str]) -> float | None:
    """The highest resident memory of such a process, in MB of 10^6 bytes; None: unknown.

    Raises MrnnEdgeError where the process fails.
    """
    said = _run(["mrnn_edge_cli.bench.peak", *module]).splitlines()
    last = said[-1] if said else ""
    return int(last) / 1e6 if last.isdigit() else None


def _run(module: Sequence[str]) -> str:
    """Standard error of the process."""
    done = subprocess.run(
        python_m(*module),
        env=own_imports(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode != 0:
        raise MrnnEdgeError(
            f"`{' '.join(module)}` ended with {done.returncode} as a process of its own "
            f"({' / '.join(said.splitlines()[-3:])}); run it by hand, and see `mrnn-edge doctor`"
        )
    return said
