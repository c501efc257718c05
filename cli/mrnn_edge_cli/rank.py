"""`mrnn-edge rank`: the sentences of a file, best first for a picture (sentence retrieval)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge.errors import OptionError
from mrnn_edge.vocab import tokenize
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.explain import bits
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.output import one_line, say, write, write_json


def rank(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The picture; - is stdin.")],
    sentences: Annotated[
        Path, typer.Option("--sentences", metavar="FILE", help="A sentence a line, UTF-8.")
    ],
    best: Annotated[
        int | None, typer.Option("--best", "-k", min=1, help="So many of them; all if left out.")
    ] = None,
    prior: opt.PriorOption = None,
    json: opt.Json = False,
    model: opt.Model = None,
    device: opt.Device = "auto",
    precision: opt.PrecisionOption = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Order the sentences of a file by how much the picture speaks for them.

    A line a sentence: rank, confidence and log2 probability in bits, and the sentence. The prior
    is `train` if left out; `mean` is much faster and nearly as good.
    """
    captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
    from mrnn_edge.pipeline import open_source

    lines = SentenceFile(sentences)
    ranked = captioner.rank(open_source(image), lines, best=best, prior=prior)
    if lines.blank and not quiet:
        say(f"{sentences}: {lines.blank} lines without a word left out")
    if json:
        write_json([{"rank": place, **each.to_record()} for place, each in enumerate(ranked, 1)])
        return
    for place, each in enumerate(ranked, 1):
        text = one_line(each.sentence)
        write(f"{place}\t{bits(each.confidence)}\t{each.log2_prob:.2f}\t{text}")


class SentenceFile:
    """The sentences of a file, line by line; lines without a word are counted and left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.blank = 0

    def __iter__(self) -> Iterator[str]:
        number = 0
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    sentence = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                    if tokenize(sentence):
                        yield sentence
                    else:
                        self.blank += 1
        except UnicodeDecodeError:
            raise OptionError(
                f"{self._path}, line {number}, is not UTF-8; convert the file, "
                "for example with iconv -f latin1 -t utf-8"
            ) from None
        except OSError as error:
            raise OptionError(f"{self._path} cannot be read ({error.strerror})") from None
