"""`mrnn-edge train`: from a data set to a training run."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.extras import TRAINING, need
from mrnn_edge_cli.output import Progress, say, write


def train(
    data: opt.Data,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="New folder of the run.")],
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME_OR_FILE", help="Recipe, or a TOML file of one.")
    ] = "flickr8k-lite2",
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", metavar="NAME_OR_FILE", help="CNN, or a feature table (.npz)."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="In place of the recipe's.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed, the same run.")] = 1,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="FOLDER", help="Where CNN vectors are kept."),
    ] = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Train a model: a line of figures an epoch; the best by dev CIDEr is kept.

    The folder then holds run.json, vocab.json, log.ndjson and best.safetensors;
    `mrnn-edge export` makes a model of it.
    """
    need("train", *TRAINING)
    import torch

    from mrnn_edge_train.loop import check_out, prepare, train
    from mrnn_edge_train.recipe import read_recipe

    changes: dict[str, object] = {}
    if encoder is not None:
        changes["encoder"] = encoder
    if epochs is not None:
        changes["epochs"] = epochs
    plan = dataclasses.replace(read_recipe(recipe), **changes)  # type: ignore[arg-type]
    check_out(out)
    if threads:
        torch.set_num_threads(threads)
    track = Progress(quiet=quiet)
    prepared = prepare(plan, data, cache=cache or _cache(), track=track)
    if not quiet:
        say(
            f"{len(prepared.train):,} pictures to train, {len(prepared.dev):,} for dev, "
            f"{len(prepared.vocabulary):,} words"
        )
    for figures in train(plan, prepared, out, seed=seed, source=os.fspath(data), track=track):
        write(
            f"epoch {figures.epoch:3d}  train {figures.train_bits:.3f} bits  "
            f"dev perplexity {figures.dev_perplexity:.2f}  dev CIDEr {figures.dev_cider:.4f}"
            f"{' best' if figures.best else '     '}  {figures.seconds:.0f} s"
        )


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("mrnn-edge") / "features"
