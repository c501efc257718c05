"""Resident memory of `mrnn-edge caption` over very many files: how high, and whether it grows.

The files are links to those of a folder, over and over, in a folder of their own. The command runs
as a process; its resident size is read from /proc each time that it has written so many records.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mrnn_edge.listing import list_files

STEP = 1000
"""Pictures between two readings."""


def link(files: list[str], folder: Path, count: int) -> None:
    """`count` links in the folder, to the files in turn."""
    for number in range(count):
        file = files[number % len(files)]
        target = folder / f"{number:06}{Path(file).suffix}"
        target.symlink_to(os.path.abspath(file))


def resident(process: int, field: str) -> float:
    """A size of a process in MB (10^6 bytes): VmRSS now, VmHWM at its highest."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("the process ended before it could be read")


def measure(folder: Path, count: int, options: list[str]) -> dict[str, Any]:
    """Caption `count` links as records, the memory read every STEP of them."""
    files = [
        each for each in list_files([os.fspath(folder)], recursive=True) if isinstance(each, str)
    ]
    with tempfile.TemporaryDirectory() as links:
        link(files, Path(links), count)
        command = [
            sys.executable,
            "-m",
            "mrnn_edge_cli",
            "caption",
            "-r",
            links,
            "--ndjson",
            "--quiet",
        ]
        start = time.monotonic()
        readings, peak, records = [], 0.0, 0
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE) as process:
            for _ in process.stdout or ():
                records += 1
                if records % STEP == 0 and records < count:
                    readings.append(resident(process.pid, "VmRSS"))
                if records % 10 == 0 and records < count:
                    peak = resident(process.pid, "VmHWM")
        if process.returncode not in (0, 3):
            raise SystemExit(f"the command ended with {process.returncode}")
        seconds = time.monotonic() - start
    return {
        "records": records,
        "exit_code": process.returncode,
        "seconds": seconds,
        "resident_mb": readings,
        "peak_mb": peak,
        "growth_mb": max(readings[1:]) - readings[0],
    }


def main(
    folder: Annotated[Path, typer.Argument(help="A few hundred pictures.")],
    files: Annotated[int, typer.Option("--files", min=3 * STEP)] = 20_000,
    options: Annotated[
        list[str] | None, typer.Argument(help="Options for the command, after --.")
    ] = None,
) -> None:
    """Measure the memory of a long run; sizes in MB of 10^6 bytes."""
    report = measure(folder, files, options or [])
    typer.echo(json.dumps(report))
    typer.echo(
        f"{report['records']:,} records in {report['seconds']:.0f} s, exit code "
        f"{report['exit_code']}; peak {report['peak_mb']:.0f} MB; after the first {STEP:,} "
        f"at most {report['growth_mb']:+.1f} MB"
    )


if __name__ == "__main__":
    typer.run(main)
