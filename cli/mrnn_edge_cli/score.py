"""`mrnn-edge score`: how likely sentences are for a picture."""

from typing import Annotated

import typer

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.explain import bits, unknown_words
from mrnn_edge_cli.loading import Loading, load
from mrnn_edge_cli.output import one_line, say, write, write_header, write_json


def score(
    image: opt.Image,
    sentences: Annotated[list[str], typer.Argument(metavar="SENTENCE...")],
    json: opt.Json = False,
    *,
    loading: Loading,
) -> None:
    """Print how likely each sentence is for the picture, in the order given.

    One line per sentence: its evidence and its log2 probability, in bits, and the sentence. The
    evidence is what the picture adds to the probability, compared with the mean training picture.
    """
    captioner = load(loading)
    from mrnn_edge.bulk.run import picture_source

    scores = captioner.score(picture_source(image), sentences)
    unknown = [word for each in scores for word in each.unknown_words]
    if unknown and not loading.quiet:
        say(unknown_words(unknown))
    if json:
        write_json([each.to_record() for each in scores])
        return
    write_header("evidence", "log2_prob", "sentence")
    for each in scores:
        write(f"{bits(each.evidence)}\t{each.log2_prob:.2f}\t{one_line(each.sentence)}")
