"""`mrnn-edge export`: from a training run to a model folder."""

from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.extras import need
from mrnn_edge_cli.output import Progress, write


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of `mrnn-edge train`.")],
    out: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="New folder of the model.")
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FOLDER", help="Data set for parity; the run's own."),
    ] = None,
    quiet: opt.Quiet = False,
) -> None:
    """Write a run as two ONNX graphs in a model folder named after itself.

    Torch and ONNX Runtime must agree to 1e-4 and caption every dev picture alike, word for word;
    otherwise nothing is written.
    """
    need("train", "torch", "onnx", "onnxscript", "safetensors", "efficientnet_lite_pytorch")
    from mrnn_edge_export.export import export_run

    done = export_run(run, out, data=data, track=Progress(quiet=quiet))
    for graph, batches in done.parity["largest_difference"].items():
        shown = ", ".join(f"{value:.1e} at {batch}" for batch, value in batches.items())
        write(f"{graph}: torch and ONNX Runtime differ by {shown}")
    captions = done.parity["captions"]
    write(f"captions: {captions['equal']:,} of {captions['compared']:,} equal word for word")
    for precision, pair in done.config.precisions.items():
        write(f"{precision}: {(pair.encoder.bytes + pair.step.bytes) / 1e6:.1f} MB")
    write(f"{done.folder}: model {done.config.name}, id {done.config.id}")
