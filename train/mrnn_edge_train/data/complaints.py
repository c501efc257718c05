"""How a data set's faults are told: what is wrong, the first few names, how many there are."""

from collections.abc import Sequence
from pathlib import Path

from mrnn_edge.errors import DatasetError, InputError

_SHOWN = 5
"""Names in an error or a note."""
_READABLE = 100
"""Of so many training pictures one may be unreadable."""


def first_few(names: Sequence[str]) -> str:
    """`a.jpg, b.jpg, c.jpg, d.jpg, e.jpg and 7 more`."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def complain(what: str, names: Sequence[str]) -> None:
    """Raise DatasetError if there are any names."""
    if names:
        raise DatasetError(f"{what}: {first_few(names)}; mend the data set")


def complain_of_missing(where: str, paths: Sequence[Path]) -> None:
    """Raise DatasetError if there are any: pictures by name, with the folder that lacks them."""
    folders = {path.parent for path in paths}
    if len(folders) == 1:
        complain(f"{where}: missing pictures in {folders.pop()}", [path.name for path in paths])
    complain(f"{where}: missing pictures", [str(path) for path in paths])


def spare(count: int) -> int:
    """How many of so many training pictures may be unreadable: they are left out."""
    return count // _READABLE


def left_out(names: Sequence[str]) -> tuple[str, ...]:
    """What people are told of the training pictures that are: a line, or none of none."""
    if not names:
        return ()
    pictures = "picture" if len(names) == 1 else "pictures"
    return (f"{len(names)} training {pictures} cannot be read, left out: {', '.join(names)}",)


def complain_of_unreadable(failures: Sequence[InputError], count: int, *, allowed: int = 0) -> None:
    """Raise DatasetError, with the first reasons, for more than `allowed` of `count` pictures."""
    if len(failures) > allowed:
        first = "; ".join(map(str, failures[:_SHOWN]))
        more = f" and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
        raise DatasetError(
            f"{len(failures)} of {count} pictures cannot be read: {first}{more}; mend the data set"
        )
