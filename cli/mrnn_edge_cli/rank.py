"""`mrnn-edge rank`: the sentences of a file, best first for a picture (sentence retrieval)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from mrnn_edge.errors import OptionError
from mrnn_edge.vocab import Vocabulary, tokenize
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.explain import bits, unknown_words
from mrnn_edge_cli.loading import Loading, load
from mrnn_edge_cli.output import Progress, one_line, say, write, write_header, write_json_array


def rank(
    image: opt.Image,
    sentences: Annotated[
        Path, opt.path_option("--sentences", help="One sentence per line, UTF-8.")
    ],
    best: Annotated[
        int | None, typer.Option("--best", "-k", min=1, help="Print only the K best; default: all.")
    ] = None,
    prior: opt.PriorOption = None,
    json: opt.Json = False,
    *,
    loading: Loading,
) -> None:
    """Order the sentences of a file by how well they fit the picture.

    One line per sentence: its score, evidence and log2 probability in bits, and the sentence. The
    score is the log2 probability less that of the prior. The default prior is `train`; `mean` is
    much faster, and ranks a right sentence first half as often.
    """
    captioner = load(loading)
    from mrnn_edge.bulk.run import picture_source

    lines = SentenceFile(sentences, captioner.bundle.vocabulary)
    vector = captioner.encode(picture_source(image))
    shown = Progress(quiet=loading.quiet)(lines, "rank", lines.count())
    ranked = captioner.sentences.rank(vector, shown, best=best, prior=prior)
    if json:
        write_json_array(each.to_record() for each in ranked)
    else:
        write_header("score", "evidence", "log2_prob", "sentence")
        for each in ranked:
            figures = f"{bits(each.score)}\t{bits(each.evidence)}\t{each.log2_prob:.2f}"
            write(f"{figures}\t{one_line(each.sentence)}")
    if not loading.quiet:
        lines.report()


class SentenceFile:
    """The sentences of a file, line by line; lines without a word are skipped."""

    def __init__(self, path: Path, vocabulary: Vocabulary) -> None:
        self._path = path
        self._vocabulary = vocabulary
        self._blank = 0
        self._unknown: dict[str, None] = {}

    def count(self) -> int:
        """Lines of the file."""
        with self._opened() as file:
            return sum(1 for _ in file)

    def report(self) -> None:
        """Print what was skipped or unknown, on stderr."""
        if self._blank:
            lines = "1 line" if self._blank == 1 else f"{self._blank} lines"
            say(f"{self._path}: skipped {lines} without a word")
        if self._unknown:
            say(unknown_words(self._unknown))

    def __iter__(self) -> Iterator[str]:
        with self._opened() as file:
            for number, line in enumerate(file, 1):
                try:
                    sentence = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                except UnicodeDecodeError:
                    raise OptionError(
                        f"{self._path}, line {number}, is not UTF-8; convert the file, "
                        "for example with iconv -f latin1 -t utf-8 if it is Latin-1"
                    ) from None
                words = tokenize(sentence)
                self._unknown.update(dict.fromkeys(self._vocabulary.lacks(words)))
                self._blank += not words
                if words:
                    yield sentence

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            with self._path.open("rb") as file:
                yield file
        except OSError as error:
            raise OptionError(f"{self._path} cannot be read ({error.strerror})") from None
