"""How many neighbours and similarities consensus re-ranking wants of this model, on dev.

`mrnn-edge eval --consensus` for a grid of both, but pictures are read, captions searched and
similarities computed once. The table of CIDEr goes to standard output.
"""

from collections.abc import Sequence
from heapq import nlargest
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mrnn_edge import Captioner
from mrnn_edge.config import DecodeOptions
from mrnn_edge_cli.output import Progress
from mrnn_edge_train.consensus import Consensus
from mrnn_edge_train.evaluate import image_vectors
from mrnn_edge_train.flickr8k import Split, read_split
from mrnn_edge_train.metrics import score_captions

NEIGHBOURS = (10, 20, 60, 150, 300)
SIMILARITIES = (10, 30, 125, 300)
NBEST = (5, 10)

Similarities = Sequence[Sequence[Sequence[float]]]
"""Of a picture: candidates, near pictures, captions."""


def choice(found: Similarities, *, nbest: int, neighbours: int, similarities: int) -> int:
    """As `Consensus.choose` with these numbers."""
    worth = [
        sum(nlargest(similarities, chain.from_iterable(pictures[:neighbours])))
        for pictures in found[:nbest]
    ]
    return int(np.argmax(worth))


def main(
    data: Annotated[Path, typer.Option(help="Data set, as `eval` takes it.")],
    model: Annotated[str | None, typer.Option()] = None,
) -> None:
    captioner = Captioner.load(model, device="cpu")
    track = Progress(quiet=False)
    dev, train = read_split(data, Split.DEV), read_split(data, Split.TRAIN)
    consensus = Consensus(
        train,
        image_vectors(captioner, train, track=track),
        neighbours=max(NEIGHBOURS),
        similarities=1,
    )
    vectors = image_vectors(captioner, dev, track=track)
    options = DecodeOptions(nbest=max(NBEST))
    constraints = captioner.captions.constraints(options)
    candidates, found = [], []
    for row in track(range(len(dev)), "similarities", len(dev)):
        (decoded,) = captioner.captions.decode(vectors[row : row + 1], options, constraints)
        each = [captioner.bundle.vocabulary.decode(best.tokens) for best in decoded.hypotheses]
        candidates.append(each)
        found.append(consensus.similarities(vectors[row], each))
    references = [image.sentences for image in dev]
    typer.echo("| n best | neighbours | " + " | ".join(map(str, SIMILARITIES)) + " |")
    typer.echo("| --- " * (2 + len(SIMILARITIES)) + "|")
    for nbest in NBEST:
        for neighbours in NEIGHBOURS:
            line = []
            for count in SIMILARITIES:
                chosen = [
                    each[choice(similar, nbest=nbest, neighbours=neighbours, similarities=count)]
                    for each, similar in zip(candidates, found, strict=True)
                ]
                line.append(f"{score_captions(references, chosen, meteor=False).cider:.3f}")
            typer.echo(f"| {nbest} | {neighbours} | " + " | ".join(line) + " |")


if __name__ == "__main__":
    typer.run(main)
