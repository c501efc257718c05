"""A folder of pictures that can be searched with a sentence.

    index = Index.build(captioner, "photos", "photos.index")
    for hit in index.search(captioner, "a dog runs", k=5).hits:
        print(hit.file, hit.log2_prob)

Pictures are ranked by P(sentence | picture). Ties go to the picture whose name comes first in byte
order. Joins words, files and ranking (file.py, nearest.py).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.captioner import Captioner
from mrnn_edge.decode.score import BITS_PER_NAT
from mrnn_edge.errors import IndexFileError, OptionError
from mrnn_edge.index.build import Changes, check_model, update_index
from mrnn_edge.index.file import IndexFile
from mrnn_edge.index.nearest import EXACT_UP_TO, best_rows
from mrnn_edge.options import Prior
from mrnn_edge.timing import Track, untracked
from mrnn_edge.vocab import tokenize


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One found picture."""

    file: str
    rank: int
    """1 is the best."""
    log2_prob: float
    """log2 P(sentence | picture) in bits, the end sign included."""
    evidence: float | None
    """log2 P(sentence | picture) - log2 P(sentence | mean training image) in bits; None without a
    prior."""

    def to_record(self) -> dict[str, Any]:
        """The JSON record of the command."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The result of a search."""

    hits: tuple[Hit, ...]
    """Best first."""
    missing: tuple[str, ...]
    """Pictures that would be hits but no longer exist."""
    unknown_words: Mapping[str, tuple[str, ...]]
    """Words of the query that the vocabulary lacks, scored as the unknown word, and the most
    similar words that it has."""


class Index:
    """The pictures of a folder as vectors, in one file. Threads may share it."""

    def __init__(self, file: IndexFile, changes: Changes) -> None:
        self._file = file
        self.folder: Final = file.origin.folder
        """The folder that was indexed, absolute."""
        self.changes: Final = changes
        """What `build` did; all zero where the index was opened."""

    @classmethod
    def build(
        cls,
        captioner: Captioner,
        folder: str | os.PathLike[str],
        path: str | os.PathLike[str],
        *,
        replace: bool = False,
        track: Track = untracked,
    ) -> "Index":
        """Index the pictures below a folder in a file, or bring that file up to date.

        Only new content is encoded; `changes` says what was done and which pictures could not be
        read. The file is replaced at the end; with `replace` any file is, and every picture is
        encoded. Raises OptionError if there is no picture, IndexFileError if `path` is not an index
        or one of another model; the file is then unchanged.
        """
        changes = update_index(
            captioner, os.fspath(folder), Path(path), replace=replace, track=track
        )
        return cls(IndexFile(path), changes)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Index":
        """Open an existing index. Raises IndexFileError."""
        return cls(IndexFile(path), Changes())

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self._file)

    def close(self) -> None:
        """Release the file: Windows cannot replace a mapped file."""
        self._file.close()

    def search(self, captioner: Captioner, sentence: str, *, k: int = 5) -> SearchResult:
        """The `k` pictures, or all if fewer, for which the sentence is likeliest.

        Raises OptionError for a query without a known word and for a `k` below 1, IndexFileError
        for an index of another model or one whose folder is gone.
        """
        if k < 1:
            raise OptionError(f"k is {k}, expected 1 or more")
        check_model(self._file, captioner.config.id, captioner.config.name)
        vocabulary = captioner.bundle.vocabulary
        words = tokenize(sentence)
        unknown = {word: vocabulary.nearest(word) for word in vocabulary.lacks(words)}
        _check_query(words, unknown)
        if not os.path.isdir(self.folder):
            raise IndexFileError(
                f"{self._file.path}: the folder {self.folder} that was indexed is not there; "
                "bring it back, or index it where it is now"
            )
        habit_log2 = _habit_log2(captioner, words)
        wanted = k
        while True:
            rows, log_probs = self._best_rows(captioner, words, wanted)
            hits, missing = self._hits(rows, log_probs, habit_log2, k)
            if len(hits) == k or len(rows) == len(self):
                return SearchResult(hits=hits, missing=missing, unknown_words=unknown)
            # Some of the likeliest are gone since they were indexed: look further.
            wanted = 2 * max(wanted, len(rows))

    def _best_rows(
        self, captioner: Captioner, words: Sequence[str], k: int
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        # Small folders are ranked without the graph, which is then not opened.
        gradient = captioner.gradient if len(self) > EXACT_UP_TO else None
        return best_rows(
            captioner.graphs.step,
            gradient,
            self._file.vectors,
            self._file.mean,
            captioner.bundle.vocabulary.encode(words),
            captioner.space,
            k=k,
            threads=captioner.graphs.threads,
        )

    def _hits(
        self,
        rows: NDArray[np.intp],
        log_probs: NDArray[np.float64],
        habit_log2: float | None,
        k: int,
    ) -> tuple[tuple[Hit, ...], tuple[str, ...]]:
        """The first `k` that still exist, and those before them that do not."""
        hits: list[Hit] = []
        missing: list[str] = []
        for row, log_prob in zip(rows.tolist(), log_probs.tolist(), strict=True):
            file = os.path.join(self.folder, self._file.name(row))
            if not os.path.exists(file):
                missing.append(file)
                continue
            log2_prob = log_prob * BITS_PER_NAT
            evidence = None if habit_log2 is None else log2_prob - habit_log2
            hits.append(Hit(file=file, rank=len(hits) + 1, log2_prob=log2_prob, evidence=evidence))
            if len(hits) == k:
                break
        return tuple(hits), tuple(missing)


def _habit_log2(captioner: Captioner, words: Sequence[str]) -> float | None:
    """log2 P(words | mean training image) in bits; None if the model has no prior."""
    scorer = captioner.sentences
    if scorer.prior is None:
        return None
    found = scorer.log2_prior([scorer.vocabulary.encode(words)], Prior.MEAN)
    return None if found is None else float(found[0])


def _check_query(words: Sequence[str], unknown: Mapping[str, Sequence[str]]) -> None:
    if not words:
        raise OptionError("the query has no word; say what is in the picture")
    if all(word in unknown for word in words):
        raise OptionError(
            f"the model knows no word of the query: {describe_unknown(unknown)}; use its words"
        )


def describe_unknown(unknown: Mapping[str, Sequence[str]]) -> str:
    """A text such as `zebra (nearest: zebras), qwx`."""
    return ", ".join(
        f"{word} (nearest: {', '.join(nearest)})" if nearest else word
        for word, nearest in unknown.items()
    )
