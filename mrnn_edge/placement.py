"""Where the two graphs of a model run: measured once a machine, remembered, and said.

Takes open graphs and times them, gives a placement and the words for it. Knows no runtime. A GPU is
not always faster: a step is 26 small kernels, and each launch costs what a small CPU needs for the
whole of it, so the CNN on the GPU and the step on the CPU is a choice of its own.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

import numpy as np

from mrnn_edge.beams import Floats, SearchSpace, StepFunction, begin
from mrnn_edge.config import BundleConfig

ROUNDS: Final = 5
STEPS: Final = 12
"""Words of a caption, about."""


class Placement(StrEnum):
    """Where the encoder and the step run."""

    CPU = "cpu"
    CUDA = "cuda"
    MIXED = "mixed"
    """The encoder on CUDA, the step on the CPU."""


class Pair(Protocol):
    """What is timed of open graphs."""

    @property
    def encoder(self) -> Callable[[Any], Floats]:
        """uint8 [B, H, W, 3] -> float32 [B, M]."""

    @property
    def step(self) -> StepFunction:
        """One time frame."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Milliseconds of one picture and of the steps of one caption on each device."""

    cpu_encoder: float
    cpu_steps: float
    cuda_encoder: float
    cuda_steps: float

    def total(self, placement: Placement) -> float:
        """Milliseconds of a caption."""
        encoder = self.cpu_encoder if placement is Placement.CPU else self.cuda_encoder
        steps = self.cuda_steps if placement is Placement.CUDA else self.cpu_steps
        return encoder + steps

    def best(self) -> Placement:
        """The placement of the shortest caption."""
        return min(Placement, key=self.total)

    def __str__(self) -> str:
        return ", ".join(f"{each} {self.total(each):.1f} ms" for each in Placement)


def measure(cpu: Pair, cuda: Pair, config: BundleConfig) -> Measured:
    """Time both devices with a grey picture, a greedy caption's steps, the median of a few runs."""
    (cpu_encoder, cpu_steps), (cuda_encoder, cuda_steps) = (
        _times(pair, config) for pair in (cpu, cuda)
    )
    return Measured(
        cpu_encoder=cpu_encoder,
        cpu_steps=cpu_steps,
        cuda_encoder=cuda_encoder,
        cuda_steps=cuda_steps,
    )


def remembered(key: str) -> Measured | None:
    """What was measured under this key; None for nothing, or nothing that can be read."""
    try:
        measured = Measured(**{name: float(ms) for name, ms in _read()[key].items()})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return measured if all(0.0 < ms < np.inf for ms in vars(measured).values()) else None


def remember(key: str, measured: Measured) -> None:
    """Keep it for the next time. Where that cannot be, the next time measures again."""
    file = memory_file()
    if file is None:
        return
    kept = {**_read(), key: vars(measured)}
    # Beside OSError: what was read may be too deep to write.
    with suppress(OSError, RecursionError):
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(json.dumps(kept, indent=1))
        beside.replace(file)


def memory_file() -> Path | None:
    """placement.json in the user's folder of caches; None where the user has no folder at all."""
    # The run time does without platformdirs; these are its answers on Linux and Windows.
    folder = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        caches = Path(folder) if folder else Path.home() / ".cache"
    except RuntimeError:  # an account without an entry, as in a container
        return None
    return caches / "mrnn-edge" / "placement.json"


def key_of(graphs: tuple[bytes, ...], *, runtime: str, threads: int) -> str:
    """What a measurement hangs on: the graphs' bytes, runtime, CPU threads, GPUs and driver."""
    digest = hashlib.sha256()
    for graph in graphs:
        digest.update(hashlib.sha256(graph).digest())
    return f"{digest.hexdigest()[:16]} onnxruntime {runtime} threads {threads} {_gpus()}"


def _gpus() -> str:
    """The models of the GPUs and the version of the driver, as Linux tells; empty elsewhere."""
    folder = Path("/proc/driver/nvidia")
    said = []
    for file in [folder / "version", *sorted(folder.glob("gpus/*/information"))]:
        with suppress(OSError):
            said.append(file.read_text(errors="replace").partition("\n")[0].strip())
    return "; ".join(said)


def _times(pair: Pair, config: BundleConfig) -> tuple[float, float]:
    grey = np.full((1, config.image.height, config.image.width, 3), 127, np.uint8)
    vector = np.zeros((1, config.sizes.image), np.float32)

    space = SearchSpace(start=0, end=0, banned=(), state=config.sizes.state)

    def steps() -> None:
        begin(pair.step, vector, space, (0,) * STEPS)

    return _milliseconds(lambda: pair.encoder(grey)), _milliseconds(steps)


def _milliseconds(run: Callable[[], object]) -> float:
    run()  # the first one loads libraries and chooses kernels
    spent = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        spent.append((time.perf_counter() - start) * 1000.0)
    return median(spent)


def _read() -> Mapping[str, Any]:
    file = memory_file()
    if file is None:
        return {}
    try:
        kept = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}
