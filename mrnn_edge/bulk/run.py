"""Many files: read ahead and captioned in batches, one outcome each, in order.

Takes paths, returns outcomes one by one, with a bounded number of pictures in memory. Knows neither
where the paths come from (listing.py) nor where the outcomes go.
"""

import math
import sys
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from mrnn_edge.bulk.ahead import map_ahead
from mrnn_edge.bulk.listing import Listed
from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.captioner import Captioner
from mrnn_edge.engine.device import DeviceKind
from mrnn_edge.errors import InputError
from mrnn_edge.image.read import Picture, read_picture
from mrnn_edge.language.records import Caption, Outcome
from mrnn_edge.machine import usable_cores
from mrnn_edge.options import DecodeOptions
from mrnn_edge.paths import local_path

STANDARD_INPUT: Final = "-"
"""The file name for standard input."""
MAX_STDIN_BYTES: Final = 1 << 28
BATCH: Final = 4
"""Pictures per call on the CPU. More cost 14 MB of activations each and are hardly faster
(docs/bulk.md)."""
CUDA_BATCH: Final = 32
MAX_AT_ONCE: Final = 4
"""Batches at a time at most, whatever the cores: each holds some 35 MB of activations. With more
cores each batch runs on several."""
MAX_READERS: Final = 8
"""Pictures decoded at a time at most: each takes its own size, 36 MB for 12 megapixels."""


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A file that was read, and its place among all."""

    place: int
    file: str
    result: Picture | Caption | InputError


def caption_files(
    captioner: Captioner,
    files: Sequence[Listed],
    options: DecodeOptions,
    *,
    done: Collection[int] = (),
    standard_input: bytes = b"",
    first: Picture | InputError | None = None,
    allow_truncated: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Outcome, None, None]:
    """One outcome per file, in order; a failure affects no other file.

    `done` are the places in `files` to leave out. The batches are the same with and without them,
    because the last bits of a probability depend on the batch: a resumed run gives the same
    results. `standard_input` is the picture named `-`, `first` the result of `read_first`. Once
    `stop()` is true no batch is started, and the started ones are returned. Closing the generator
    waits for started batches. The captioner's `concurrency` batches run at a time. Raises
    OptionError as `Captioner.caption_batch` does.
    """
    size, readers = batch_size(captioner), _readers(captioner)
    at_once = captioner.graphs.concurrency

    def places() -> Iterator[int]:
        for start in range(0, len(files), size):
            batch = range(start, min(start + size, len(files)))
            if stop():
                return
            if not all(place in done for place in batch):
                yield from batch

    def read(place: int) -> _Read:
        listed = files[place]
        if isinstance(listed, Outcome):
            return _Read(place=place, file=listed.file, result=listed.result)
        if place == 0 and first is not None:
            return _Read(place=place, file=listed, result=first)
        source = standard_input if listed == STANDARD_INPUT else listed
        result = _try_to_read(source, captioner.config.image, allow_truncated=allow_truncated)
        return _Read(place=place, file=listed, result=result)

    def caption(batch: Sequence[_Read]) -> list[Outcome]:
        pictures = [each.result for each in batch if isinstance(each.result, Picture)]
        captions = iter(captioner.caption_batch(pictures, options))
        results = [
            next(captions) if isinstance(each.result, Picture) else each.result for each in batch
        ]
        return [
            Outcome(file=each.file, result=result)
            for each, result in zip(batch, results, strict=True)
            if each.place not in done
        ]

    looked_at = map_ahead(
        read, places(), threads=readers, ahead=2 * max(readers, size), name="read"
    )
    batches = (list(batch) for _, batch in groupby(looked_at, lambda each: each.place // size))
    for outcomes in map_ahead(caption, batches, threads=at_once, ahead=at_once + 1, name="caption"):
        yield from outcomes


def read_first(
    files: Sequence[Listed], spec: ImageSpec, *, allow_truncated: bool = False
) -> Picture | InputError | None:
    """If exactly one file is given, read it, to do so while the model loads; else None.

    A resumed run of more files may have the first already, and standard input may take longer than
    the model.
    """
    if len(files) != 1 or isinstance(files[0], Outcome) or files[0] == STANDARD_INPUT:
        return None
    return _try_to_read(files[0], spec, allow_truncated=allow_truncated)


def _try_to_read(
    source: str | bytes, spec: ImageSpec, *, allow_truncated: bool
) -> Picture | InputError:
    try:
        return read_picture(source, spec, allow_truncated=allow_truncated)
    except InputError as error:
        return error


def calls_at_once(files: int) -> int:
    """The `concurrency` to load a captioner with for so many files."""
    return min(MAX_AT_ONCE, math.ceil(files / BATCH))


def batch_size(captioner: Captioner) -> int:
    """Pictures per call: on CPUs as in docs/bulk.md, on CUDA not measured yet."""
    return CUDA_BATCH if captioner.device.kind is DeviceKind.CUDA else BATCH


def _readers(captioner: Captioner) -> int:
    """Pictures decoded at a time."""
    on_cuda = captioner.device.kind is DeviceKind.CUDA
    threads = usable_cores() if on_cuda else captioner.graphs.threads
    return max(2, min(MAX_READERS, threads))


def picture_source(file: str) -> str | bytes:
    """The path of a picture, or for `-` the bytes of standard input.

    Raises FileError for an address.
    """
    return read_standard_input() if file == STANDARD_INPUT else local_path(file)


def read_standard_input() -> bytes:
    """Standard input up to the size limit of a picture, so an endless pipe ends."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_STDIN_BYTES)
