"""How many vectors the prior needs: sentence retrieval by drawn training pictures and by centres.

1,000 dev pictures look for their own first sentence among 1,000, by P(w | I) / P(w), with P(w) from
vectors of every kind and number. This is where the 100 groups of prior.npy come from.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mrnn_edge import Captioner
from mrnn_edge.decode import Floats
from mrnn_edge.score import BITS_PER_NAT, log_mean_exp
from mrnn_edge_export.prior import group
from mrnn_edge_train.flickr8k import CaptionedImage, Split, read_split

DRAWN = (50, 100, 200, 500)
CENTRES = (25, 100, 200)
DRAWS = 3


def encode(captioner: Captioner, images: tuple[CaptionedImage, ...]) -> Floats:
    """Image vectors [N, M]."""
    return np.stack([captioner.encode(image.path) for image in images])


def priors(train: Floats) -> Iterator[tuple[str, list[tuple[Floats, Floats]]]]:
    """Name, and one or more vectors with weights whose figures are averaged."""
    yield "mean", [(train.mean(axis=0, keepdims=True), np.ones(1, np.float32))]
    random = np.random.default_rng(0)
    for count in DRAWN:
        even = np.full(count, 1 / count, np.float32)
        yield (
            f"{count} drawn",
            [(train[random.permutation(len(train))[:count]], even) for _ in range(DRAWS)],
        )
    for count in CENTRES:
        yield f"{count} centres", [group(train, count)]


def recalls(worth: np.ndarray) -> list[float]:
    """R@1, R@5, R@10 and the median rank of the own sentence, worth [pictures, sentences]."""
    ranks = (worth >= np.diagonal(worth)[:, None]).sum(axis=1)
    return [*(float((ranks <= k).mean()) for k in (1, 5, 10)), float(np.median(ranks))]


def main(
    data: Annotated[Path, typer.Option("--data", help="Data set laid out like Flickr8K.")],
    model: Annotated[str | None, typer.Option("--model")] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=2, help="Of the dev split.")] = 1000,
) -> None:
    """Measure priors; some ten minutes on two cores."""
    captioner = Captioner.load(model, device="cpu")
    scorer = captioner.sentences
    dev = read_split(data, Split.DEV)[:pictures]
    train = encode(captioner, read_split(data, Split.TRAIN))
    ids = [scorer.vocabulary.encode(image.sentences[0]) for image in dev]
    likely = scorer.log2_probs(encode(captioner, dev), ids)
    typer.echo(json.dumps({"none": recalls(likely)}))
    for name, kinds in priors(train):
        found = [
            recalls(
                likely
                - log_mean_exp(scorer.log2_probs(vectors, ids) / BITS_PER_NAT, weights)
                * BITS_PER_NAT
            )
            for vectors, weights in kinds
        ]
        typer.echo(json.dumps({name: np.mean(found, axis=0).round(4).tolist()}))


if __name__ == "__main__":
    typer.run(main)
