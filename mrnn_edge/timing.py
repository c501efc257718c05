"""Stage times of one call in milliseconds, and the progress of loops."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class StageTimer:
    """Adds up wall time per stage: `with timer("encode"): …`."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - start)

    def add(self, stage: str, seconds: float) -> None:
        """Add time spent on a stage elsewhere, for example by reading ahead."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def milliseconds(self, *, pictures: int = 1) -> dict[str, float]:
        """Each stage's time divided by the pictures of the batch, and `total`, their sum."""
        stages = {stage: spent * 1000.0 / pictures for stage, spent in self._seconds.items()}
        return {**stages, "total": sum(stages.values())}


class Track(Protocol):
    """Passes the items on one by one and shows the progress towards `total`."""

    def __call__(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]: ...


def untracked(items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
    """The items, without showing progress."""
    del description, total
    return items
