"""A function over a stream in threads: results in order, a bounded number of them ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(
    function: Callable[[T], R], items: Iterable[T], *, threads: int, ahead: int, name: str
) -> Iterator[R]:
    """function(item) for each item, in order; at most `ahead` calls are started and unread.

    The caller's thread iterates over the items. An exception of the function or the items is
    raised in place of its result; started calls finish first, others never start. `name` names the
    threads.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix=name) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # unread calls that have not started
            for future in waiting:
                future.cancel()
