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
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rounds import in_turns, noisy

from mrnn_edge import Captioner
from mrnn_edge.engine.runtime import TELEMETRY
from mrnn_edge.image.read import DRAFT, Pixels, to_pixels

PYTHON = (sys.executable, "-c")
COMMAND = (*PYTHON, "from mrnn_edge_cli import main; main()")
IMPORTS = (*PYTHON, "import numpy, PIL.Image, onnxruntime")
os.environ.setdefault(TELEMETRY, "1")  # as the command does
NOTHING = (*PYTHON, "pass")
SIZE = (4000, 3000)
WATCHED = """
import os, subprocess, sys
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_, _, used = os.wait4(subprocess.Popen(sys.argv[1:], **quiet).pid, 0)
print(used.ru_maxrss * 1024)
"""
"""Peak resident bytes of a command. A process counts what its parent held when it was made, so the
parent must be small."""


def run(command: tuple[str, ...]) -> None:
    """A process, to its end."""
    subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=True
    )


def peak_mb(*command: str) -> float:
    """Peak resident MB of a process, the median of five."""
    watched = (*PYTHON, WATCHED, *command)
    peaks = [int(subprocess.run(watched, capture_output=True, check=True).stdout) for _ in range(5)]
    return statistics.median(peaks) / 1e6


def against(spent: dict[str, list[float]]) -> dict[str, float]:
    """Medians of ours and theirs, and their ratio."""
    ours, theirs = statistics.median(spent["ours"]), statistics.median(spent["theirs"])
    return {"ms": ours, "against_ms": theirs, "ratio": ours / theirs}


def pair(ours: tuple[str, ...], theirs: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Two processes that take turns."""
    # The first round writes the compiled modules and fills the page cache.
    commands = {"ours": lambda _: run(ours), "theirs": lambda _: run(theirs)}
    return against(in_turns(commands, range(rounds + 1), warm_up=1))


def enlarge(picture: Path, target: Path) -> None:
    """Write a picture of 12 megapixels with grain."""
    big = Image.open(picture).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
    grainy = noisy(np.asarray(big), np.random.default_rng(0), sigma=2.0)
    Image.fromarray(grainy).save(target, quality=90)


def drafted(file: Path, captioner: Captioner) -> Pixels:
    """What Pillow gives where it may decode down to DRAFT times the model's size."""
    spec = captioner.config.image
    with Image.open(file) as image:
        image.draft(None, (DRAFT * spec.width, DRAFT * spec.height))
        image.load()
        return to_pixels(image, spec)


def large(captioner: Captioner, picture: Path, rounds: int) -> dict[str, float]:
    """A caption of a file of 12 megapixels against its draft decoding and resize."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.jpg"
        enlarge(picture, file)
        tasks = {
            "ours": lambda _: captioner.caption(file),
            "theirs": lambda _: drafted(file, captioner),
        }
        return against(in_turns(tasks, range(rounds)))


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
