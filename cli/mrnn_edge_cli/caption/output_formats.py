"""The formats of the output: how outcomes are written, and found again in what was written."""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Final

from mrnn_edge.errors import InputError
from mrnn_edge.language.records import Outcome
from mrnn_edge_cli.explain import caption_line
from mrnn_edge_cli.output import one_line

COLUMNS: Final = (
    "file",
    "caption",
    "confidence",
    "evidence",
    "log2_prob",
    "perplexity",
    "reason",
    "error",
)
_FORMULA: Final = ("=", "+", "-", "@")
"""Spreadsheets compute a cell that begins so, and a file may be named anything."""


class Format(ABC):
    """A head, an entry per outcome, a foot; without line ends."""

    description: str
    """A word or two for messages, different for each format."""

    def head(self) -> str | None:
        """Text before all outcomes."""
        return None

    @abstractmethod
    def entry(self, outcome: Outcome) -> str | None:
        """An outcome; None if this format leaves it out."""

    def foot(self) -> str | None:
        """Text after all outcomes."""
        return None


class LineFormat(Format):
    """A format whose entries are complete in themselves, so that a stopped run can continue."""

    @abstractmethod
    def key(self, file: str) -> str:
        """How a file is named in its entry."""

    @abstractmethod
    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bool]]:
        """Each entry's key, and whether it is an error. Raises ValueError for no entry."""

    def is_whole(self, text: str) -> bool:
        """Whether these lines end an entry."""
        return text.endswith("\n")


class Text(LineFormat):
    """PATH<TAB>caption, or the caption alone; failures are for stderr."""

    def __init__(self, *, alone: bool, explain: bool, coloured: bool) -> None:
        self._alone = alone
        self._explain = explain
        self.description = "text, explained" if explain else "text"
        self._coloured = coloured

    def entry(self, outcome: Outcome) -> str | None:
        caption = outcome.result
        if isinstance(caption, InputError):
            return None
        line = caption_line(caption, explain=self._explain, coloured=self._coloured)
        return line if self._alone else f"{self.key(outcome.file)}\t{line}"

    def key(self, file: str) -> str:
        return _encodable(one_line(file))

    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bool]]:
        for entry in entries:
            file, tab, _ = entry.partition("\t")
            if not tab:
                raise ValueError("expected PATH<TAB>caption")
            yield file, False


class Json(Format):
    """One array, written record by record: it may be longer than the memory."""

    description = "json"

    def __init__(self) -> None:
        self._empty = True

    def entry(self, outcome: Outcome) -> str:
        comma = "[" if self._empty else ","
        self._empty = False
        return f"{comma}\n{json.dumps(outcome.to_record(), indent=2, allow_nan=False)}"

    def foot(self) -> str:
        return "[]" if self._empty else "]"


class Ndjson(LineFormat):
    """One record per line."""

    description = "ndjson"

    def entry(self, outcome: Outcome) -> str:
        return json.dumps(outcome.to_record(), allow_nan=False)

    def key(self, file: str) -> str:
        return file

    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bool]]:
        for entry in entries:
            record = json.loads(entry)
            if not isinstance(record, dict) or not isinstance(record.get("file"), str):
                raise ValueError('expected a record with "file"')
            yield record["file"], "error" in record


class Csv(LineFormat):
    """One row per picture under a row of names, for spreadsheets."""

    description = "csv"

    def head(self) -> str:
        return ",".join(COLUMNS)

    def entry(self, outcome: Outcome) -> str:
        record = outcome.to_record()
        error = record.get("error")
        cells = {name: _rounded(record.get(name)) for name in COLUMNS}
        cells["file"] = self.key(outcome.file)
        cells["error"] = error and _encodable(f"{error['type']}: {error['message']}")
        row = io.StringIO()
        # What stands in the line end is what the writer quotes.
        csv.writer(row, lineterminator="\r\n").writerow([cells[name] for name in COLUMNS])
        return row.getvalue().removesuffix("\r\n")

    def key(self, file: str) -> str:
        # The same file, and no formula.
        return _encodable(f"./{file}" if file.startswith(_FORMULA) else file)

    def read(self, entries: Iterable[str]) -> Iterator[tuple[str, bool]]:
        rows = csv.reader(entries)
        try:
            if next(rows, None) not in (None, list(COLUMNS)):
                raise ValueError(f"expected the columns {self.head()}")
            for row in rows:
                if len(row) != len(COLUMNS):
                    raise ValueError(f"expected {len(COLUMNS)} columns")
                cells = dict(zip(COLUMNS, row, strict=True))
                yield cells["file"], bool(cells["error"])
        except csv.Error as error:
            raise ValueError(str(error)) from None

    def is_whole(self, text: str) -> bool:
        # Within quotes a line end belongs to a name.
        return text.endswith("\n") and text.count('"') % 2 == 0


def _rounded(cell: object) -> object:
    return round(cell, 3) if isinstance(cell, float) else cell


def _encodable(text: str) -> str:
    """Names of files may hold bytes that are no UTF-8, for which Python has lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()
