"""Tasks that take turns, so that other load falls on all alike; pictures and fakes for them."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from mrnn_edge.bulk.listing import list_files

Item = TypeVar("Item")


def milliseconds(task: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    task()
    return (time.perf_counter() - start) * 1000.0


def in_turns(
    tasks: Mapping[str, Callable[[Item], object]], items: Iterable[Item], *, warm_up: int = 0
) -> dict[str, list[float]]:
    """Milliseconds of every task with each item; those with the first `warm_up` are left out."""
    spent: dict[str, list[float]] = {name: [] for name in tasks}
    for number, item in enumerate(items):
        for name, task in tasks.items():
            took = milliseconds(lambda task=task, item=item: task(item))
            if number >= warm_up:
                spent[name].append(took)
    return spent


def pictures_in(folder: Path, count: int) -> list[str]:
    """The first `count` pictures of a folder and those below it."""
    listed = list_files([os.fspath(folder)], recursive=True)
    return [each for each in listed if isinstance(each, str)][:count]


class Capture:
    """A fake camera; subclasses have grab and retrieve."""

    def rate(self) -> float | None: ...

    def length(self) -> None: ...

    def position_s(self) -> None: ...

    def release(self) -> None: ...


def noisy(picture: np.ndarray, random: np.random.Generator, *, sigma: float) -> np.ndarray:
    """A uint8 picture with noise."""
    noise = random.normal(0.0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)
