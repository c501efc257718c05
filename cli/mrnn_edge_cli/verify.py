"""`mrnn-edge verify`: does a model folder hold what was exported, and compute the same here?"""

from typing import Annotated

import typer

from mrnn_edge.errors import OptionError
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.output import say, write


def verify(
    model: Annotated[
        str | None, typer.Argument(metavar="NAME_OR_FOLDER", help="Default: the shipped model.")
    ] = None,
    named: opt.Model = None,
    device: opt.Device = "cpu",
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Check a model: files, hashes, graphs, and its results against torch's at export.

    Needs no torch. The exit code is 4 if a check fails.
    """
    from mrnn_edge.verify import verify_model

    if model and named:
        raise OptionError(f"two models were given, {model} and {named}; name one")
    failed = 0
    for check in verify_model(model or named, device=device, threads=threads):
        failed += not check.passed
        write(f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
    if failed and not quiet:
        say(f"{failed} checks failed; copy the model again, or report this with `mrnn-edge doctor`")
    if failed:
        raise typer.Exit(ExitCode.MODEL)
