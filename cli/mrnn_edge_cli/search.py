"""`mrnn-edge search`: the pictures of an index for which a sentence is likeliest."""

from pathlib import Path
from typing import Annotated

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.arguments import Argument, Option
from mrnn_edge_cli.explain import bits
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.output import one_line, say, write, write_json

SHOWN = 5
"""Pictures that have gone and are named one by one."""


def search(
    sentence: Annotated[
        str, Argument(metavar="WORDS", help="What is in the picture, as a caption says it.")
    ],
    file: Annotated[Path, Option("--index", metavar="FILE", help="Made by `mrnn-edge index`.")],
    k: Annotated[int, Option("-k", min=1, max=1000, help="Pictures wanted.")] = 5,
    json: opt.Json = False,
    model: opt.Model = None,
    device: opt.Device = "auto",
    precision: opt.PrecisionOption = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Find pictures by a sentence, best first.

    A line a picture: its path, and in bits what it adds to the sentence's probability (confidence)
    and the log2 probability that it gives the sentence.
    """
    captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
    from mrnn_edge.index.index import Index, describe_unknown

    found = Index.open(file).search(captioner, sentence, k=k)
    if not quiet:
        if found.unknown_words:
            say(f"words that the model does not know: {describe_unknown(found.unknown_words)}")
        for each in found.missing[:SHOWN]:
            say(f"{each}: is no more there, left out; bring the index up to date")
        if len(found.missing) > SHOWN:
            say(f"and {len(found.missing) - SHOWN} more that are not there")
    if json:
        write_json([hit.to_record() for hit in found.hits])
        return
    for hit in found.hits:
        write(f"{one_line(hit.file)}\t{bits(hit.confidence)}\t{hit.log2_prob:.2f}")
