"""How many neighbours and similarities consensus re-ranking wants of this model, on dev.

`mrnn-edge eval --consensus --beam 10` for a grid of both and of --nbest, but pictures are read,
captions searched and similarities computed once. The table of CIDEr goes to standard output.
"""

from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mrnn_edge import Captioner
from mrnn_edge.config import DecodeOptions
from mrnn_edge_cli.output import Progress
from mrnn_edge_train.consensus import Consensus, best
from mrnn_edge_train.datasets import read_split
from mrnn_edge_train.evaluate import image_vectors
from mrnn_edge_train.flickr8k import Split
from mrnn_edge_train.metrics import score_captions

NEIGHBOURS = (10, 20, 60, 150, 300)
SIMILARITIES = (10, 30, 125, 300)
NBEST = (5, 10)


def main(
    data: Annotated[Path, typer.Option(help="Data set, as `eval` takes it.")],
    model: Annotated[str | None, typer.Option()] = None,
) -> None:
    captioner = Captioner.load(model, device="cpu")
    track = Progress(quiet=False)
    dev, train = read_split(data, Split.DEV), read_split(data, Split.TRAIN)
    grid = [count for count in NEIGHBOURS if count <= len(train)] or [len(train)]
    consensus = Consensus(
        train,
        image_vectors(captioner, train, track=track),
        neighbours=max(grid),
        similarities=max(SIMILARITIES),
    )
    vectors = image_vectors(captioner, dev, track=track)
    options = DecodeOptions(nbest=max(NBEST))
    constraints = captioner.captions.constraints(options)
    decode = captioner.bundle.vocabulary.decode
    # Of each picture: its candidates, their similarities, and the captions of the k nearest, all k.
    candidates, similarities, captions = [], [], []
    for vector in track(vectors, "similarities", len(vectors)):
        (found,) = captioner.captions.decode(vector[None], options, constraints)
        candidates.append([decode(each.tokens) for each in found.hypotheses])
        similarities.append(consensus.similarities(vector, candidates[-1]))
        near = consensus.nearest(vector)
        captions.append(np.cumsum([len(train[row].sentences) for row in near]))
    references = [image.sentences for image in dev]
    typer.echo("| n best | neighbours | " + " | ".join(map(str, SIMILARITIES)) + " |")
    typer.echo("| --- " * (2 + len(SIMILARITIES)) + "|")
    for nbest, neighbours in product(NBEST, grid):
        line = []
        for count in SIMILARITIES:
            chosen = [
                words[best(found[:nbest, : upto[neighbours - 1]], count=count)]
                for words, found, upto in zip(candidates, similarities, captions, strict=True)
            ]
            line.append(f"{score_captions(references, chosen, meteor=False).cider:.3f}")
        typer.echo(f"| {nbest} | {neighbours} | " + " | ".join(line) + " |")


if __name__ == "__main__":
    typer.run(main)
