"""`mrnn-edge verify`: is this model folder what was exported, and does it compute that here?"""

from typing import Annotated

from mrnn_edge.errors import OptionError
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.arguments import Argument, Exit
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.output import say, write


def verify(
    model: Annotated[
        str | None, Argument(metavar="NAME_OR_FOLDER", help="The shipped one if left out.")
    ] = None,
    named: opt.Model = None,
    device: opt.Device = "cpu",
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Check a model: files, hashes, graphs, and its answers against torch's at export.

    Needs no torch. A check that fails ends with exit code 4.
    """
    from mrnn_edge.verify import verify_model

    if model and named:
        raise OptionError(f"two models, {model} and {named}; name one")
    failed = 0
    for check in verify_model(model or named, device=device, threads=threads):
        failed += not check.passed
        write(f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
    if failed and not quiet:
        say(f"checks that failed: {failed}; copy the model anew, or report what this machine is")
    if failed:
        raise Exit(ExitCode.MODEL)
