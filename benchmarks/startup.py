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
from mrnn_edge.runtime import TELEMETRY

PYTHON = (sys.executable, "-c")
COMMAND = (*PYTHON, "from mrnn_edge_cli import main; main()")
IMPORTS = (*PYTHON, "import numpy, PIL.Image, onnxruntime")
os.environ.setdefault(TELEMETRY, "1")  # as the command does
NOTHING = (*PYTHON, "pass")
WATCHED = """
import os, subprocess, sys
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_, _, used = os.wait4(subprocess.Popen(sys.argv[1:], **quiet).pid, 0)
print(used.ru_maxrss * 1024)
"""
"""Peak resident bytes of a command. A process counts what its parent held when it was made, so the
parent must be small."""


def run(*command: str) -> float:
    """Milliseconds of a process."""
    start = time.perf_counter()
    subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=True
    )
    return (time.perf_counter() - start) * 1000.0


def peak_mb(*command: str) -> float:
    """Peak resident MB of a process, the median of five."""
    watched = (*PYTHON, WATCHED, *command)
    peaks = [int(subprocess.run(watched, capture_output=True, check=True).stdout) for _ in range(5)]
    return statistics.median(peaks) / 1e6


def pair(ours: tuple[str, ...], theirs: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Medians of two processes that take turns."""
    run(*ours), run(*theirs)  # writes the compiled modules, fills the page cache
    runs = [(run(*ours), run(*theirs)) for _ in range(rounds)]
    spent, against = (statistics.median(each) for each in zip(*runs, strict=True))
    return {"ms": spent, "against_ms": against, "ratio": spent / against}


def large(captioner: Captioner, picture: Path, rounds: int) -> dict[str, float]:
    """A caption of a file of 12 megapixels against its draft decoding and resize."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.jpg"
        enlarge(picture, file, grain(2.0), 1)
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
    caption = (*COMMAND, "caption", str(picture), *options)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an install has its compiled modules
    captioner = Captioner.load(model, device="cpu", precision=precision)
    report: dict[str, Any] = {
        "model": captioner.config.name,
        "precision": str(captioner.precision),
        "rounds": rounds,
        "caption": pair(caption, IMPORTS, rounds),
        "help": pair((*COMMAND, "--help"), NOTHING, rounds),
        "12_megapixels": large(captioner, picture, rounds),
        "memory": {"mb": peak_mb(*caption), "imports_mb": peak_mb(*IMPORTS)},
    }
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
