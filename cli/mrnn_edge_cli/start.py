"""What is switched off while a command starts (docs/startup.md)."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_BLAS_THREADS: Final = "OPENBLAS_NUM_THREADS"


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Switch the garbage collector off inside, and later for the objects made inside.

    Imports make tens of thousands of objects that stay; the collector would find nothing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A numpy imported inside multiplies matrices in one thread, unless the variable is set.

    Otherwise OpenBLAS starts a thread per core at its import, which spin and slow down the threads
    that open the model.
    """
    if _BLAS_THREADS in os.environ:
        yield
        return
    os.environ[_BLAS_THREADS] = "1"
    try:
        yield
    finally:
        os.environ.pop(_BLAS_THREADS, None)
