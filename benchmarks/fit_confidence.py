"""Give a model folder of before its confidence; `export` and `quantize` do so themselves.

    python benchmarks/fit_confidence.py --model tiny --data flickr8k --data everyday

Fits on the dev pictures of the data sets, and rewrites config.json, metrics.json and the card.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge import Captioner
from mrnn_edge.bundle.folder import read_metrics
from mrnn_edge_export.card import check_card
from mrnn_edge_export.confidence_fit import fit_confidence
from mrnn_edge_export.export import rewrite
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.datasets import read_split
from mrnn_edge_train.data.mixture import name_of


def main(
    model: Annotated[str, typer.Option("--model", "-m", help="Model name or folder.")],
    data: Annotated[list[Path], typer.Option(help="Data sets, as for `train`.")],
) -> None:
    """Fit the confidence and print its figures by data set."""
    captioner = Captioner.load(model)
    bundle = captioner.bundle
    check_card(bundle)
    fitted = fit_confidence(
        captioner, {name_of(each): read_split(each, Split.DEV) for each in data}
    )
    if fitted is None:
        typer.echo("no confidence can be fitted: no prior, or too few captions", err=True)
        raise typer.Exit(1)
    config = dataclasses.replace(bundle.config, confidence=fitted.weights)
    metrics = {**read_metrics(bundle.folder), "confidence": dict(fitted.figures)}
    rewrite(bundle.folder, config, metrics)
    for name, figures in fitted.figures.items():
        shown = ("captions", "right", "area", "calibration_error", "surest_half")
        typer.echo(f"{name}: " + ", ".join(f"{key} {figures[key]:.3f}" for key in shown))


if __name__ == "__main__":
    typer.run(main)
