"""`mrnn-edge export`: from a training run to a model folder."""

from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.extras import TRAINING, need
from mrnn_edge_cli.output import Progress, say, write


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of `mrnn-edge train`.", parser=opt.to_path)
    ],
    out: Annotated[
        Path, opt.path_option("--output", "-o", metavar="FOLDER", help="New folder for the model.")
    ],
    data: Annotated[
        Path | None,
        opt.path_option(
            "--data", metavar="FOLDER", help="Data set for the comparison; default: the run's own."
        ),
    ] = None,
    trained_on: Annotated[
        str | None,
        typer.Option("--trained-on", metavar="TEXT", help="The data set, for the model card."),
    ] = None,
    weights_licence: Annotated[
        str, typer.Option("--weights-licence", metavar="TEXT", help="For the model card.")
    ] = "the terms of the training data hold",
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Write a run as two ONNX graphs in a model folder named after itself.

    Torch and ONNX Runtime must agree to 1e-4 and give equal captions for every dev picture;
    otherwise nothing is written.
    """
    need("cpu,train", "onnxruntime", *TRAINING, "onnx", "onnxscript")
    from mrnn_edge_export.export import Origin, export_run
    from mrnn_edge_train.data.common import left_out
    from mrnn_edge_train.torch_device import use_threads

    use_threads(threads)
    origin = Origin(data=trained_on, weights_licence=weights_licence)
    done = export_run(run, out, origin=origin, data=data, track=Progress(quiet=quiet))
    if not quiet:
        for line in left_out(done.unreadable):
            say(line)
    for graph, batches in done.parity["largest_difference"].items():
        shown = ", ".join(f"{value:.1e} at {batch}" for batch, value in batches.items())
        write(f"{graph}: torch and ONNX Runtime differ by {shown}")
    captions = done.parity["captions"]
    write(f"captions: {captions['equal']:,} of {captions['compared']:,} equal word for word")
    for precision, pair in done.config.precisions.items():
        write(f"{precision}: {pair.bytes / 1e6:.1f} MB")
    write(f"{done.folder}: model {done.config.name}, id {done.config.id}")
