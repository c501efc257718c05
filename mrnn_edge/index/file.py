"""The file of an image index: written whole or not at all, mapped into memory when read.

    prefix    64 bytes: magic, version, place, length and sha256 of the footer
    blocks    vectors, mean, stamps, digests, name_ends, names; each begins at a multiple of 64
    footer    JSON: the model, the folder, the blocks' places and sha256; the file ends with it

Little-endian throughout; docs/index.md has every field. The footer's place and length give the
file's length, so that a truncated file is refused at once. Knows rows and bytes; knows neither
pictures nor graphs.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import read_record
from mrnn_edge.errors import IndexFileError
from mrnn_edge.files import replacing

VERSION: Final = 1
DIGEST_BYTES: Final = 32
_MAGIC: Final = b"mrnn-idx"
_PREFIX: Final = struct.Struct("<8sI4xQQ32s")
_ALIGNMENT: Final = 64


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Identifies an indexed file without reading it."""

    size: int
    """Bytes."""
    modified: int
    """st_mtime_ns"""
    changed: int
    """st_ctime_ns: differs between two files of one size and time that swapped names."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of an index."""

    name: str
    """The path below the folder; names that are not UTF-8 come as os.fsdecode gives them."""
    stamp: Stamp
    digest: bytes
    """sha256 of the file."""
    vector: Floats
    """[M]"""


@dataclass(frozen=True, kw_only=True)
class IndexOrigin:
    """Where the vectors of an index come from."""

    bundle_id: str
    model: str
    """The bundle's name, for people."""
    precision: str
    folder: str
    """Absolute."""
    image: int
    """M, the length of a vector."""


class IndexFile:
    """An open index: the vectors are mapped, the rest is checked by its sha256 and in memory.

    Rows stand in byte order of their names.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a file. Raises IndexFileError if it is missing, truncated, damaged or no index."""
        self.path = Path(path)
        if self.path.exists() and not self.path.is_file():  # a FIFO would block
            raise IndexFileError(f"{path}: is not a regular file, expected an index")
        try:
            with self.path.open("rb") as file:
                self._footer = _read_footer(file, self.path)
                self.origin = read_record(
                    IndexOrigin,
                    {field.name: self._footer[field.name] for field in fields(IndexOrigin)},
                    lambda text: IndexFileError(f"{path}: wrong footer: {text}; {_ANEW}"),
                )
                self._count = int(self._footer["count"])
                self._stamps = self._table(file, "stamps", np.dtype("<i8"), 3)
                self._digests = self._table(file, "digests", np.dtype("u1"), DIGEST_BYTES)
                self._ends = self._table(file, "name_ends", np.dtype("<i8"), 1)[:, 0]
                self._names = self._block(file, "names")
                mean = self._block(file, "mean", expected=4 * self.origin.image)
        except FileNotFoundError:
            raise IndexFileError(
                f"{path}: no such index; make one with `mrnn-edge index FOLDER -o {path}`"
            ) from None
        except OSError as error:
            raise IndexFileError(
                f"{path}: cannot be read ({error.strerror}); expected a file that "
                "`mrnn-edge index` has made"
            ) from None
        except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise IndexFileError(f"{path}: cannot be read as an index ({error!r})") from None
        ends = [0, *self._ends.tolist(), len(self._names)]
        if ends != sorted(ends) or ends[-1] != ends[-2]:
            raise IndexFileError(f"{path}: its names are out of bounds; {_ANEW}")
        self.mean: Floats = np.frombuffer(mean, "<f4")
        """[M] float32, the mean of the vectors; zeros in an empty index."""
        self.vectors = self._map_vectors()
        """[N, M] float32, mapped: read-only, and on disk until used."""

    def __len__(self) -> int:
        return self._count

    def name(self, row: int) -> str:
        """The path of a row's picture below the folder."""
        start = int(self._ends[row - 1]) if row else 0
        return os.fsdecode(self._names[start : int(self._ends[row])])

    def entry(self, row: int) -> Entry:
        """The whole row of a picture."""
        size, modified, changed = map(int, self._stamps[row])
        return Entry(
            name=self.name(row),
            stamp=Stamp(size=size, modified=modified, changed=changed),
            digest=self._digests[row].tobytes(),
            vector=self.vectors[row].copy(),
        )

    @cached_property
    def by_name(self) -> Mapping[str, int]:
        """Names to rows."""
        return {self.name(row): row for row in range(len(self))}

    @cached_property
    def by_digest(self) -> Mapping[bytes, int]:
        """Contents to rows; of several pictures with one content, the last."""
        return {self._digests[row].tobytes(): row for row in range(len(self))}

    def close(self) -> None:
        """Release the vectors: Windows cannot replace a mapped file."""
        self.vectors = np.zeros((0, self.origin.image), np.float32)

    def check_vectors(self) -> None:
        """Read all vectors and compare their sha256. Raises IndexFileError if one is damaged.

        Opening an index does not, as it would read the whole file; an update, which copies the
        vectors into the next index, does.
        """
        found = hashlib.sha256(self.vectors.data if len(self) else b"").hexdigest()
        if found != self._footer["blocks"]["vectors"]["sha256"]:
            raise IndexFileError(f"{self.path}: its vectors are damaged; {_ANEW}")

    def _place(self, block: str, expected: int | None) -> tuple[int, int]:
        place = self._footer["blocks"][block]
        offset, length = int(place["offset"]), int(place["bytes"])
        end = int(self._footer["end"])
        if offset < _PREFIX.size or length < 0 or offset + length > end:
            raise ValueError(f"{block} lies outside the file")
        if expected is not None and length != expected:
            raise ValueError(f"{block} has {length} bytes, expected {expected}")
        return offset, length

    def _block(self, file: IO[bytes], block: str, *, expected: int | None = None) -> bytes:
        offset, length = self._place(block, expected)
        file.seek(offset)
        data = file.read(length)
        if hashlib.sha256(data).hexdigest() != self._footer["blocks"][block]["sha256"]:
            raise ValueError(f"{block} are damaged")
        return data

    def _table(
        self, file: IO[bytes], block: str, dtype: np.dtype[Any], columns: int
    ) -> NDArray[Any]:
        expected = self._count * columns * dtype.itemsize
        data = self._block(file, block, expected=expected)
        return np.frombuffer(data, dtype).reshape(self._count, columns)

    def _map_vectors(self) -> Floats:
        shape = (self._count, self.origin.image)
        try:
            offset, _ = self._place("vectors", 4 * shape[0] * shape[1])
            if not self._count:  # nothing cannot be mapped
                return np.zeros(shape, np.float32)
            return np.memmap(self.path, "<f4", "r", offset, shape).view(np.ndarray)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise IndexFileError(f"{self.path}: cannot be read as an index ({error})") from None


class IndexWriter:
    """Takes rows in the order of their names; keeps everything but the vectors in memory."""

    def __init__(self, file: IO[bytes], origin: IndexOrigin) -> None:
        self._file = file
        self._origin = origin
        self._blocks: dict[str, dict[str, Any]] = {}
        self._hash = hashlib.sha256()
        self._sum = np.zeros(origin.image)
        self._stamps: list[tuple[int, int, int]] = []
        self._digests: list[bytes] = []
        self._names: list[bytes] = []
        file.write(bytes(_PREFIX.size))

    def add(self, entry: Entry) -> None:
        """Append a row."""
        data = entry.vector.astype("<f4").tobytes()
        self._hash.update(data)
        self._file.write(data)
        self._sum += entry.vector
        stamp = entry.stamp
        self._stamps.append((stamp.size, stamp.modified, stamp.changed))
        self._digests.append(entry.digest)
        self._names.append(os.fsencode(entry.name))

    def finish(self) -> None:
        """Write the blocks after the vectors, the footer, and last the prefix that points to it."""
        count = len(self._names)
        self._blocks["vectors"] = {
            "offset": _PREFIX.size,
            "bytes": 4 * count * self._origin.image,
            "sha256": self._hash.hexdigest(),
        }
        ends = np.cumsum([len(name) for name in self._names], dtype="<i8")
        self._write("mean", (self._sum / max(count, 1)).astype("<f4").tobytes())
        self._write("stamps", np.array(self._stamps, "<i8").tobytes())
        self._write("digests", b"".join(self._digests))
        self._write("name_ends", ends.tobytes())
        self._write("names", b"".join(self._names))
        self._pad()
        place = self._file.tell()
        data = {**asdict(self._origin), "count": count, "blocks": self._blocks, "end": place}
        footer = json.dumps(data).encode("ascii")
        self._file.write(footer)
        self._file.seek(0)
        digest = hashlib.sha256(footer).digest()
        self._file.write(_PREFIX.pack(_MAGIC, VERSION, place, len(footer), digest))

    def _write(self, block: str, data: bytes) -> None:
        self._pad()
        digest = hashlib.sha256(data).hexdigest()
        place = self._file.tell()
        self._blocks[block] = {"offset": place, "bytes": len(data), "sha256": digest}
        self._file.write(data)

    def _pad(self) -> None:
        self._file.write(bytes(-self._file.tell() % _ALIGNMENT))


@contextmanager
def write_index(path: Path, origin: IndexOrigin) -> Iterator[IndexWriter]:
    """A writer whose file replaces `path` at the end, or is deleted after an exception."""
    with replacing(path) as file:
        writer = IndexWriter(file, origin)
        yield writer
        writer.finish()


_ANEW: Final = "delete it and index the folder again"


def _read_footer(file: IO[bytes], path: Path) -> dict[str, Any]:
    prefix = file.read(_PREFIX.size)
    if not prefix.startswith(_MAGIC):
        raise IndexFileError(
            f"{path}: is not an index of mrnn-edge; name one made by `mrnn-edge index`"
        )
    length = file.seek(0, os.SEEK_END)
    if len(prefix) < _PREFIX.size:
        raise IndexFileError(f"{path}: truncated index, {length} bytes; {_ANEW}")
    _, version, place, size, digest = _PREFIX.unpack(prefix)
    if version != VERSION:
        raise IndexFileError(
            f"{path}: index of version {version}, expected {VERSION}; upgrade mrnn-edge, or "
            "index the folder again"
        )
    if length != place + size:
        raise IndexFileError(
            f"{path}: has {length} bytes, an index of {place + size} was written: it is truncated "
            f"or damaged; {_ANEW}"
        )
    file.seek(place)
    data = file.read(size)
    if hashlib.sha256(data).digest() != digest:
        raise IndexFileError(f"{path}: its footer is damaged; {_ANEW}")
    footer: dict[str, Any] = json.loads(data)
    return footer
