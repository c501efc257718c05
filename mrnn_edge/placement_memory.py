"""What `auto` has measured on this machine, kept in a file of the user's caches.

Takes times and the key of what they hang on, gives them back for that key. Measures nothing and
knows no runtime. A file that is damaged or cannot be written costs a measurement and nothing else.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mrnn_edge.config import GraphFile
from mrnn_edge.placement import CANDIDATES, Measured


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


def _read() -> Mapping[str, Any]:
    file = memory_file()
    if file is None:
        return {}
    try:
        kept = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}
