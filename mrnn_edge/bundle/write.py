"""Writes a model folder whole or not at all. folder.py reads it."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrnn_edge.bundle.config import GraphFile, PriorFile
from mrnn_edge.errors import OptionError
from mrnn_edge.files import write_whole


def to_json(data: Any) -> bytes:
    """The bytes of a JSON file of a bundle."""
    return (json.dumps(data, indent=2, allow_nan=False) + "\n").encode("ascii")


def describe_graph(file: str, data: bytes) -> GraphFile:
    """The entry of a graph in config.json."""
    return GraphFile(file=file, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def describe_prior(file: str, data: bytes, *, groups: int) -> PriorFile:
    """The entry in config.json of the vectors of so many groups of training pictures."""
    digest = hashlib.sha256(data).hexdigest()
    return PriorFile(file=file, sha256=digest, bytes=len(data), groups=groups)


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder with these files: it appears whole or not at all.

    Raises OptionError if the folder exists.
    """
    if os.path.lexists(folder):
        raise OptionError(f"{folder} exists already; remove it or name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, data in files.items():
            write_whole(half / name, data)
        half.chmod(0o755)
        half.rename(folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
