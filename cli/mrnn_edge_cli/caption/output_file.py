"""The file of `--output`: locked, appended to entry by entry, continued after a stop.

OUTPUT.run.json beside it holds the model and the options of the run, which decide whether another
run may append to it.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from mrnn_edge.errors import OptionError
from mrnn_edge_cli.caption.output_formats import Format, LineFormat
from mrnn_edge_cli.failures import ExitCode

try:
    import fcntl
except ImportError:  # Windows: two runs are not kept apart
    fcntl = None  # type: ignore[assignment]

_LONGEST_ENTRY: Final = 1 << 22
"""Bytes. An entry is some 2 kB, and 200 kB with a hundred sentences."""


class Existing(Enum):
    """What happens to an existing output."""

    REFUSE = auto()
    REPLACE = auto()
    RESUME = auto()


class OutputFile:
    """An open output. Each entry is whole in it or, where the disk is full, absent."""

    def __init__(self, file: BinaryIO, written: Counter[str], *, failed: int = 0) -> None:
        self._file = file
        self.written = written
        """The keys of the files whose entries were there before."""
        self.failed = failed
        """How many of those entries are errors."""

    def write(self, text: str) -> None:
        """One entry, or a head or foot, handed to the system before this returns."""
        end = self._file.tell() if self._file.seekable() else None
        data = memoryview(f"{text}\n".encode("utf-8", "backslashreplace"))
        try:
            while data:
                data = data[self._file.write(data) :]
        except BrokenPipeError:
            raise SystemExit(ExitCode.READER_GONE) from None
        except OSError:
            if end is not None:
                with suppress(OSError):
                    self._file.truncate(end)
            raise


@contextmanager
def open_output(
    path: Path, *, existing: Existing, form: Format, run: Mapping[str, Any]
) -> Iterator[OutputFile]:
    """The output of a run of these settings, its head written.

    To resume, `run` must equal what stands beside the output; entries are then added, and half a
    last one is cut off. Raises OptionError, the output untouched, where that is not so, where the
    file exists and is to be refused, and while another run writes it.
    """
    if existing is Existing.RESUME and not isinstance(form, LineFormat):
        raise OptionError(
            "--resume goes with --ndjson, --csv or plain text; a JSON array cannot be continued"
        )
    settings = settings_path(path)
    if existing is Existing.RESUME and path.exists() and not path.is_file():
        raise OptionError(f"{path} is no regular file, so it cannot be continued")
    with _opened(path, existing) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            yield _with_head(OutputFile(file, Counter()), form)
            return
        _lock(file, path)
        size = os.fstat(file.fileno()).st_size
        if size and existing is Existing.RESUME:
            _check_settings(settings, path, run)
            yield _resumed(file, path, cast(LineFormat, form))
            return
        from mrnn_edge.bundle.write import to_json  # not at a start, which has no output
        from mrnn_edge.files import write_whole

        write_whole(settings, to_json(run))
        file.truncate(0)
        yield _with_head(OutputFile(file, Counter()), form)


@contextmanager
def _opened(path: Path, existing: Existing) -> Iterator[BinaryIO]:
    flags = os.O_RDWR if path.is_file() or not path.exists() else os.O_WRONLY
    target = os.fspath(path)
    if existing is Existing.REFUSE and flags == os.O_RDWR:
        # Of two runs that begin at the same time one makes the file. O_EXCL would refuse a link to
        # a file that does not exist yet.
        flags |= os.O_EXCL
        target = os.path.realpath(path)
    try:
        descriptor = os.open(target, flags | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except FileExistsError:
        raise OptionError(
            f"--output {path} exists already; --resume continues it, --force replaces it"
        ) from None
    with open(descriptor, "r+b" if flags & os.O_RDWR else "wb", buffering=0) as file:
        yield file


def _with_head(output: OutputFile, form: Format) -> OutputFile:
    if (head := form.head()) is not None:
        output.write(head)
    return output


def _lock(file: BinaryIO, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OptionError(
            f"{path} is being written by another run; wait for it, or name another file"
        ) from None
    except OSError:  # a file system without locks
        return


def settings_path(output: Path) -> Path:
    """Where the settings of the run that writes an output are stored."""
    return output.with_name(f"{output.name}.run.json")


def is_settings(path: Path) -> bool:
    """Whether a file holds settings of a run, which another run may replace."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, OSError):
        return False
    return isinstance(found, dict) and "bundle_id" in found


def _check_settings(settings: Path, path: Path, run: Mapping[str, Any]) -> None:
    try:
        old = json.loads(settings.read_bytes())
    except FileNotFoundError:
        raise OptionError(
            f"{path} has no {settings.name} beside it, so what wrote it is unknown; "
            "--force overwrites it"
        ) from None
    except (ValueError, OSError) as error:
        raise OptionError(f"{settings} cannot be read ({error}); --force overwrites it") from None
    new = json.loads(json.dumps(run))
    if old != new:
        raise OptionError(
            f"{path} was started with other settings: {_differences(old, new)}; give the same "
            "model and options, or another --output"
        )


def _differences(old: Any, new: Any) -> str:
    if not isinstance(old, dict):
        return "its settings are no JSON object"
    was, now = _flat(old), _flat(new)
    return ", ".join(
        f"{name} {json.dumps(was.get(name))}, now {json.dumps(now.get(name))}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    )


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat


def _resumed(file: BinaryIO, path: Path, form: LineFormat) -> OutputFile:
    whole = 0

    def entries() -> Iterator[str]:
        nonlocal whole
        entry = b""
        for line in iter(lambda: reader.readline(_LONGEST_ENTRY), b""):
            entry += line
            if len(entry) > _LONGEST_ENTRY:
                raise ValueError("no end of it in sight")
            # Half a line may end within a character.
            if line.endswith(b"\n") and form.is_whole(text := entry.decode("utf-8")):
                yield text.removesuffix("\n")
                whole += len(entry)
                entry = b""

    with open(path, "rb") as reader:
        try:
            found = list(form.read(entries()))
        except ValueError as error:  # bad UTF-8, bad JSON, wrong columns
            raise OptionError(
                f"{path}: after byte {whole:,} there is no {form.description} entry of mrnn-edge "
                f"({error}); name another --output"
            ) from None
    file.truncate(whole)
    file.seek(whole)
    written = Counter(key for key, _ in found)
    output = OutputFile(file, written, failed=sum(failed for _, failed in found))
    return output if whole else _with_head(output, form)
