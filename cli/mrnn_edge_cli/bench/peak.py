"""Runs a module as `python -m` does, and prints the highest resident memory of that process.

    python -m mrnn_edge_cli.bench.peak MODULE ARGUMENTS...

The last line on standard error is the number of bytes, or nothing if the system does not say.
The process measures itself because its parent cannot: what wait4 gives as ru_maxrss counts, after
a fork, the parent's memory too.
"""

import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the module that the command line names."""
    module = sys.argv[1]
    del sys.argv[0]
    # The command leaves by os._exit where it can, and no `finally` would see that.
    setattr(os, "_exit", sys.exit)  # noqa: B010  # mypy knows that the two differ
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stderr.write(f"{peak_bytes()}\n")


def peak_bytes() -> int | str:
    """The highest resident memory of this process so far; empty if the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return _from_usage()
    lines = (line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
    return next((int(kib) * 1024 for _, kib, _ in lines), "")


def _from_usage() -> int | str:
    if sys.platform != "darwin":
        return ""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes, on macOS


if __name__ == "__main__":
    main()
