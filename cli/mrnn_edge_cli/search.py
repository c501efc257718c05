"""`mrnn-edge search`: the pictures of an index for which a sentence is likeliest."""

from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.explain import bits
from mrnn_edge_cli.loading import Loading, load
from mrnn_edge_cli.output import one_line, say, write, write_header, write_json

SHOWN = 5
"""Maximum number of missing pictures that are listed."""


def search(
    sentence: Annotated[
        str, typer.Argument(metavar="WORDS", help="What the picture shows, worded as a caption.")
    ],
    file: Annotated[Path, opt.path_option("--index", help="The output of `mrnn-edge index`.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Number of pictures.")] = 5,
    json: opt.Json = False,
    *,
    loading: Loading,
) -> None:
    """Find pictures by a sentence, best first.

    One line per picture: its evidence for the sentence and the log2 probability that it gives the
    sentence, in bits, and its path.
    """
    captioner = load(loading)
    from mrnn_edge.index.index import Index, describe_unknown

    found = Index.open(file).search(captioner, sentence, k=k)
    if not loading.quiet:
        if found.unknown_words:
            say(f"words unknown to the model: {describe_unknown(found.unknown_words)}")
        for each in found.missing[:SHOWN]:
            say(f"{each} no longer exists, left out; update the index with `mrnn-edge index`")
        if len(found.missing) > SHOWN:
            say(f"and {len(found.missing) - SHOWN} more that no longer exist")
    if json:
        write_json([hit.to_record() for hit in found.hits])
        return
    write_header("evidence", "log2_prob", "file")
    for hit in found.hits:
        write(f"{bits(hit.evidence)}\t{hit.log2_prob:.2f}\t{one_line(hit.file)}")
