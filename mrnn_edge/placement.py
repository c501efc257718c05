"""Where a caption is fastest: open graphs timed, the times remembered, and said.

Takes open graphs, gives milliseconds; a file in the user's caches. Knows no runtime. A GPU is
not always faster: a step is 26 small kernels, and each launch costs what a small CPU needs for the
whole of it, so the CNN on the GPU and the step on the CPU is a choice of its own.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

import numpy as np

from mrnn_edge.beams import Floats, SearchSpace, StepFunction, begin
from mrnn_edge.config import BundleConfig, GraphFile
from mrnn_edge.device import CPU, ON_CPU, Device, DeviceKind, Placement

ROUNDS: Final = 5
STEPS: Final = 12
"""Words of a caption, about."""


_CUDA: Final = Device(kind=DeviceKind.CUDA)
CANDIDATES: Final = (
    ON_CPU,
    Placement(encoder=_CUDA, step=_CUDA),
    Placement(encoder=_CUDA, step=CPU),
)
"""Of two that are as fast the first is taken."""


class Pair(Protocol):
    """What is timed of open graphs."""

    @property
    def encoder(self) -> Callable[[Any], Floats]:
        """uint8 [B, H, W, 3] -> float32 [B, M]."""

    @property
    def step(self) -> StepFunction:
        """One time frame."""


@dataclass(frozen=True)
class Measured:
    """Milliseconds of a caption at each of the candidates."""

    caption_ms: Mapping[Placement, float]

    def best(self) -> Placement:
        """The placement of the shortest caption."""
        return min(CANDIDATES, key=self.caption_ms.__getitem__)

    def __str__(self) -> str:
        return ", ".join(f"{each} {self.caption_ms[each]:.1f} ms" for each in CANDIDATES)


def measure(pairs: Mapping[Placement, Pair], config: BundleConfig) -> Measured:
    """Time each pair with a grey picture and a greedy caption's steps, the median of a few runs.

    Raises what the graphs raise: DeviceError, ModelError, NumericalError.
    """
    return Measured({each: _milliseconds(pair, config) for each, pair in pairs.items()})


def remembered(key: str) -> Measured | None:
    """What was measured under this key; None for nothing, or nothing that can be read."""
    try:
        kept = _read()[key]
        caption_ms = {each: float(kept[str(each)]) for each in CANDIDATES}
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return Measured(caption_ms) if all(0.0 < ms < np.inf for ms in caption_ms.values()) else None


def remember(key: str, measured: Measured) -> None:
    """Keep it for the next time. Where that cannot be, the next time measures again."""
    file = memory_file()
    if file is None:
        return
    kept = {**_read(), key: {str(each): ms for each, ms in measured.caption_ms.items()}}
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


def key_of(graphs: Iterable[GraphFile], *, runtime: str, threads: int) -> str:
    """What a measurement hangs on: graphs, runtime, CPU threads, processor, GPUs and driver."""
    # Asked where a CUDA is, and by nobody else: other starts do without the import.
    from mrnn_edge.doctor.machine import processor

    digest = hashlib.sha256("".join(graph.sha256 for graph in graphs).encode())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    return (
        f"{digest.hexdigest()[:16]} onnxruntime {runtime} threads {threads} of "
        f"{processor().name}; CUDA devices {visible} of {_gpus()}"
    )


def _gpus() -> str:
    """The models of the GPUs and the version of the driver, as Linux tells; empty elsewhere."""
    folder = Path("/proc/driver/nvidia")
    said = []
    for file in [folder / "version", *sorted(folder.glob("gpus/*/information"))]:
        with suppress(OSError):
            said.append(file.read_text(errors="replace").partition("\n")[0].strip())
    return "; ".join(said)


def _milliseconds(pair: Pair, config: BundleConfig) -> float:
    grey = np.full((1, config.image.height, config.image.width, 3), 127, np.uint8)
    space = SearchSpace(start=0, end=0, banned=(), state=config.sizes.state)

    def caption() -> None:
        begin(pair.step, pair.encoder(grey), space, (0,) * STEPS)

    caption()  # the first one loads libraries and chooses kernels
    spent = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        caption()
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
