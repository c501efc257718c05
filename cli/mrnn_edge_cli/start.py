"""What is held back while a command starts, because a start has no use for it (docs/startup.md).

Knows nothing of what is imported inside.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_BLAS_THREADS: Final = "OPENBLAS_NUM_THREADS"


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """No cycles are looked for inside, nor later among what was made inside.

    Imports make tens of thousands of objects that stay. The collector would go through them again
    and again, and find nothing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            # Else the first collection would be of all that was made.
            gc.freeze()
            gc.enable()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A numpy imported inside multiplies matrices in one thread, if the variable is not set yet.

    Its OpenBLAS makes a thread a core when it is imported, and each spins for a while: on two cores
    the second would be taken from what opens the model.
    """
    if _BLAS_THREADS in os.environ:
        yield
        return
    os.environ[_BLAS_THREADS] = "1"
    try:
        yield
    finally:
        os.environ.pop(_BLAS_THREADS, None)
