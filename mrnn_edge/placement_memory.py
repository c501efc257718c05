"""What `auto` has found on this machine, kept in a file of the user's caches.

Takes times, or why CUDA failed, with the key of what they hang on; gives them back for that key.
Measures nothing and knows no runtime. A file that is damaged or cannot be written costs another
attempt and nothing else. A failure is believed for a day: a library that was missing may have been
installed, a GPU that was full be free, and the key would be the same.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mrnn_edge.config import GraphFile
from mrnn_edge.placement import CANDIDATES, Measured

BELIEVED_S: Final = 86_400.0
"""How long a failure keeps `auto` from trying CUDA again."""


@dataclass(frozen=True)
class Failed:
    """CUDA could not be opened, run or measured."""

    cause: str
    """One line."""


def remembered(key: str) -> Measured | Failed | None:
    """What was found under this key; None for nothing that can be read, or is believed still."""
    try:
        kept = _read()[key]
        return _failed(kept) if "failed" in kept else _measured(kept)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def remember(key: str, found: Measured | Failed) -> None:
    """Keep it for the next time. Where that cannot be, the next time tries again."""
    file = memory_file()
    if file is None:
        return
    entry: dict[str, Any]
    if isinstance(found, Failed):
        entry = {"failed": found.cause, "at": time.time()}
    else:
        entry = {str(each): ms for each, ms in found.caption_ms.items()}
    kept = {**_read(), key: entry}
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
    """What is found hangs on: graphs, runtime, CPU threads, processor, GPUs and driver."""
    # Asked where a CUDA is, and by nobody else: other starts do without the import.
    from mrnn_edge.doctor.machine import processor

    digest = hashlib.sha256("".join(graph.sha256 for graph in graphs).encode())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    return (
        f"{digest.hexdigest()[:16]} onnxruntime {runtime} threads {threads} of "
        f"{processor().name}; CUDA devices {visible} of {_gpus()}"
    )


def _measured(kept: Mapping[str, Any]) -> Measured | None:
    caption_ms = {each: float(kept[str(each)]) for each in CANDIDATES}
    return Measured(caption_ms) if all(0.0 < ms < math.inf for ms in caption_ms.values()) else None


def _failed(kept: Mapping[str, Any]) -> Failed | None:
    cause, age = str(kept["failed"]), time.time() - float(kept["at"])
    # It is printed as it stands. One that is of tomorrow was written before the clock was set.
    return Failed(cause) if cause.isprintable() and 0.0 <= age < BELIEVED_S else None


def _gpus() -> str:
    """The models of the GPUs and the version of the driver, as Linux tells; empty elsewhere."""
    folder = Path("/proc/driver/nvidia")
    said = []
    for file in [folder / "version", *sorted(folder.glob("gpus/*/information"))]:
        with suppress(OSError):
            said.append(file.read_text(errors="replace").partition("\n")[0].strip())
    return "; ".join(said)


def _read() -> Mapping[str, Any]:
    file = memory_file()
    if file is None:
        return {}
    try:
        kept = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}
