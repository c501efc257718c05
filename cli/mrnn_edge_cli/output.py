"""Where text goes: data to stdout, everything else to stderr."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final, TextIO, TypeVar

from mrnn_edge_cli.failures import ExitCode

T = TypeVar("T")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def write(text: str) -> None:
    """One line of data to stdout, flushed. Characters that stdout cannot encode are escaped.

    Ends the process with 141, without a word, if the reader of the pipe has gone.
    """
    if sys.stdout is None:
        raise OSError("standard output is closed")
    encoding = sys.stdout.encoding or "utf-8"
    line = text.encode(encoding, "backslashreplace").decode(encoding) + "\n"
    try:
        sys.stdout.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more when it ends; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(ExitCode.READER_GONE) from None


def write_header(*columns: str) -> None:
    """The names of columns in bits or text, on a terminal alone: a pipe gets data."""
    if sys.stdout is not None and sys.stdout.isatty():
        write("\t".join(columns))


def write_json(data: Any) -> None:
    """One JSON document to stdout."""
    write(json.dumps(data, indent=2, allow_nan=False))


def write_json_array(records: Iterable[Any]) -> None:
    """One JSON array to stdout, record by record: it may be longer than the memory."""
    comma = "["
    for record in records:
        write(f"{comma}\n{json.dumps(record, indent=2, allow_nan=False)}")
        comma = ","
    write("[]" if comma == "[" else "]")


def one_line(text: str) -> str:
    """A path or a sentence that keeps to its line and column, and does nothing to a terminal."""
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)


def say(text: str) -> None:
    """One line for people, to stderr; dropped if that is closed or full."""
    if sys.stderr is None:  # print() would take standard output, where data goes
        return
    with contextlib.suppress(OSError):
        print(f"mrnn-edge: {text}", file=sys.stderr, flush=True)


def say_nothing(_text: str) -> None:
    """What takes the place of `say` with --quiet."""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is open, and a terminal."""
    return stream is not None and stream.isatty()


class Progress:
    """Progress bars on stderr, drawn only where a terminal shows them; a Track of the trainer."""

    def __init__(self, *, quiet: bool) -> None:
        self._drawn = is_terminal(sys.stderr) and not quiet

    def __call__(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
        return _drawn(items, description, total) if self._drawn else items


def _drawn(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.1f}/s")

    text, bar = progress.TextColumn("{task.description}"), progress.BarColumn()
    columns = (text, bar, progress.MofNCompleteColumn(), Rate(), progress.TimeRemainingColumn())
    console = Console(stderr=True)
    # Standard output is for data, and not the bar's to redirect to its own stream.
    with progress.Progress(
        *columns, console=console, transient=True, redirect_stdout=False
    ) as shown:
        yield from shown.track(items, total=total, description=description)
