"""`mrnn-edge score`: how likely sentences are for a picture."""

from typing import Annotated

import typer

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.explain import bits, unknown_words
from mrnn_edge_cli.loading import Loading, load
from mrnn_edge_cli.output import one_line, say, write, write_json


def score(
    image: opt.Image,
    sentences: Annotated[list[str], typer.Argument(metavar="SENTENCE...")],
    prior: opt.PriorOption = None,
    json: opt.Json = False,
    *,
    loading: Loading,
) -> None:
    """Print how likely each sentence is for the picture, in the order given.

    One line per sentence: its log2 probability and its confidence, in bits, and the sentence. The
    confidence is what the picture adds to the probability: compared with the training pictures, or
    with `--prior mean` with their mean, as captions use it.
    """
    captioner = load(loading)
    from mrnn_edge.bulk.run import picture_source

    scores = captioner.score(picture_source(image), sentences, prior=prior)
    unknown = [word for each in scores for word in each.unknown_words]
    if unknown and not loading.quiet:
        say(unknown_words(unknown))
    if json:
        write_json([each.to_record() for each in scores])
        return
    for each in scores:
        write(f"{each.log2_prob:.2f}\t{bits(each.confidence)}\t{one_line(each.sentence)}")
