"""`mrnn-edge quantize`: int8 graphs for a model, measured before they are written."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.extras import need
from mrnn_edge_cli.output import Progress, say, write


def quantize(
    model: Annotated[str, typer.Argument(metavar="NAME_OR_FOLDER", help="A model with float32.")],
    data: Annotated[
        list[Path],
        opt.path_option("--data", metavar="PATH", help="Data set, as for `train`; or several."),
    ],
    out: Annotated[
        Path | None,
        opt.path_option(
            "--output", "-o", metavar="FOLDER", help="New folder; default: change the model itself."
        ),
    ] = None,
    calibrate: Annotated[
        int,
        typer.Option("--calibrate", min=1, metavar="N", help="Training pictures for the ranges."),
    ] = 128,
    max_drop: Annotated[
        float,
        typer.Option("--max-drop", min=0.0, metavar="CIDER", help="Maximum loss of CIDEr on dev."),
    ] = 0.01,
    alone: Annotated[
        bool,
        typer.Option("--alone", help="Smallest folder: without float graphs and search graph."),
    ] = False,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Give a model int8 graphs and make them its default.

    The captions of the dev split are measured before and after; if they lose more than --max-drop,
    nothing is written (exit code 4).
    """
    need("cpu,train", "onnxruntime", "onnx", "pycocoevalcap")
    from mrnn_edge.bundle.config import Precision
    from mrnn_edge_export.int8.quantize import quantize_model
    from mrnn_edge_train.data.common import left_out
    from mrnn_edge_train.data.mixture import name_of

    words = ["mrnn-edge", "quantize", Path(model).name]
    words += [word for each in data for word in ("--data", name_of(each))]
    words += ["--calibrate", str(calibrate), "--max-drop", f"{max_drop:g}"]
    if alone and out is not None:  # the new folder has no float graphs to quantize again
        words += ["--alone", "--output", out.name]
    done = quantize_model(
        model,
        out,
        data=data,
        calibrate=calibrate,
        max_drop=max_drop,
        command=shlex.join(words),
        alone=alone,
        threads=threads,
        track=Progress(quiet=quiet),
    )
    if not quiet:
        for line in left_out(done.unreadable):
            say(line)
    pairs = {Precision.FLOAT32: done.float_graphs, Precision.INT8: done.int8_graphs}
    for role in ("encoder", "step"):
        sizes = (f"{getattr(pairs[each], role).bytes / 1e6:.1f} MB {each}" for each in pairs)
        write(f"{role}: {', '.join(sizes)}")
    write(f"layers left in float: {', '.join(done.float_layers) or 'none'}")
    before, after = done.before, done.after
    write(f"dev CIDEr: {before.scores.cider:.4f} float32, {after.scores.cider:.4f} int8")
    write(f"dev perplexity: {before.perplexity:.2f} float32, {after.perplexity:.2f} int8")
    write(f"captions changed: {done.changed:.1%} of {before.images:,}")
    write(f"{done.folder}: model {done.config.name}, default {done.config.default_precision}")
