"""How a data set's faults are told: what is wrong, the first few names, how many there are."""

from collections.abc import Sequence

from mrnn_edge.errors import DatasetError, InputError

_SHOWN = 5
"""Names in an error or a note."""


def first_few(names: Sequence[str]) -> str:
    """`a.jpg, b.jpg, c.jpg, d.jpg, e.jpg and 7 more`."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def complain(what: str, names: Sequence[str]) -> None:
    """Raise DatasetError if there are any names."""
    if names:
        raise DatasetError(f"{what}: {first_few(names)}; mend the data set")


def complain_unreadable(failures: Sequence[InputError], count: int) -> None:
    """Raise DatasetError if any of `count` pictures could not be read, with the first reasons."""
    complain(f"{len(failures)} of {count} pictures cannot be read", [*map(str, failures)])
