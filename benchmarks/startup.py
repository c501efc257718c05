"""The command's start, a large picture, and memory, each against what no code of ours can undercut.

Whole processes, the two of a pair in turn, so that what else the machine does falls on both; the
medians are divided. The command is started as its installed script does: no `-m`, and with the
compiled modules that an install has.

    cold caption     mrnn-edge caption PICTURE / python -c "import numpy, PIL.Image, onnxruntime"
    help             mrnn-edge --help / python -c pass
    12 megapixels    Captioner.caption(file) / Pillow's draft mode and one resize of it
    memory           peak resident MB of the command's caption, and of the imports alone
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from draft import drafted, enlarge, grain

from mrnn_edge import Captioner
from mrnn_edge.image import DRAFT

PYTHON = (sys.executable, "-c")
COMMAND = (*PYTHON, "from mrnn_edge_cli import main; main()")
IMPORTS = (*PYTHON, "import numpy, PIL.Image, onnxruntime")
NOTHING = (*PYTHON, "pass")


def run(*command: str) -> tuple[float, float]:
    """Milliseconds and peak resident MB of a process."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return (time.perf_counter() - start) * 1000.0, used.ru_maxrss * 1024 / 1e6


def pair(ours: tuple[str, ...], theirs: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Medians of two processes that take turns."""
    run(*ours), run(*theirs)  # writes the compiled modules, fills the page cache
    first, second = zip(*((run(*ours), run(*theirs)) for _ in range(rounds)), strict=True)
    spent, against = (statistics.median(each[0] for each in runs) for runs in (first, second))
    return {
        "ms": spent,
        "against_ms": against,
        "ratio": spent / against,
        "peak_mb": max(each[1] for each in first),
        "against_peak_mb": max(each[1] for each in second),
    }


def large(captioner: Captioner, picture: Path, rounds: int) -> dict[str, float]:
    """A caption of a file of 12 megapixels against its draft decoding and resize."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.jpg"
        enlarge(picture, file, grain(), 1)
        for _ in range(rounds):
            start = time.perf_counter()
            captioner.caption(file)
            middle = time.perf_counter()
            drafted(file, captioner, DRAFT)
            ours.append((middle - start) * 1000.0)
            theirs.append((time.perf_counter() - middle) * 1000.0)
    spent, against = statistics.median(ours), statistics.median(theirs)
    return {"ms": spent, "against_ms": against, "ratio": spent / against}


def main(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE")],
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 21,
    model: Annotated[str | None, typer.Option("--model")] = None,
    precision: Annotated[str | None, typer.Option("--precision")] = None,
) -> None:
    """Measure start, large pictures and memory."""
    options = ["--device", "cpu"]
    options += [] if model is None else ["--model", model]
    options += [] if precision is None else ["--precision", precision]
    captioner = Captioner.load(model, device="cpu", precision=precision)
    report: dict[str, Any] = {
        "model": captioner.config.name,
        "precision": str(captioner.precision),
        "rounds": rounds,
        "caption": pair((*COMMAND, "caption", str(picture), *options), IMPORTS, rounds),
        "help": pair((*COMMAND, "--help"), NOTHING, rounds),
        "12_megapixels": large(captioner, picture, rounds),
    }
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
