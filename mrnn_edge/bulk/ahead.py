"""A function over a stream in threads: results in order, a bounded number of them ahead.

Takes any function and any items, gives what the function gave for each; knows neither.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(
    function: Callable[[T], R], items: Iterable[T], *, threads: int, ahead: int, name: str
) -> Iterator[R]:
    """function(item) for each item, in order, at most `ahead` begun and not yet taken.

    The items are drawn in the thread that takes the results. An exception of the function, or of
    the items, comes out where its result would; what was begun is finished first, the rest never
    begins. `name` is what the threads are called.
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
        finally:  # what nobody waits for any more is not begun
            for future in waiting:
                future.cancel()
