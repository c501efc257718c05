"""The typer app: the commands, and how failures end. Importing it imports no numpy, no runtime."""

import signal
import sys
import warnings
from typing import Annotated

import typer

from mrnn_edge import __version__
from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge_cli.caption import caption
from mrnn_edge_cli.doctor import doctor
from mrnn_edge_cli.evaluate import evaluate
from mrnn_edge_cli.export import export
from mrnn_edge_cli.failures import EPILOGUE, ExitCode, exit_code
from mrnn_edge_cli.index import index
from mrnn_edge_cli.info import info
from mrnn_edge_cli.output import say, write
from mrnn_edge_cli.quantize import quantize
from mrnn_edge_cli.rank import rank
from mrnn_edge_cli.score import score
from mrnn_edge_cli.search import search
from mrnn_edge_cli.train import train
from mrnn_edge_cli.verify import verify
from mrnn_edge_cli.webcam.command import webcam

# No markup mode: rich would be imported for --help alone (8.6 times an empty Python's start-up,
# plain 3.8). No pretty exceptions: they print locals, which can hold what nobody should see.
app = typer.Typer(
    name="mrnn-edge",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=EPILOGUE,
)


def _version(asked: bool) -> None:
    if asked:
        write(f"mrnn-edge {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Pictures described in one sentence, on small machines, in milliseconds, offline."""


app.command()(caption)
app.command()(webcam)
app.command()(score)
app.command()(rank)
app.command()(index)
app.command()(search)
app.command()(info)
app.command()(verify)
app.command()(doctor)
app.command("eval")(evaluate)
app.command()(train)
app.command()(export)
app.command()(quantize)


def _terminate(_signal: int, _frame: object) -> None:
    # An exception, so that what is half written is cleaned up on the way out.
    sys.exit(ExitCode.TERMINATED)


def main() -> None:
    """Run the command; a failure that was foreseen is one line on stderr and an exit code."""
    if not sys.warnoptions:
        # Pillow warns of odd files; what matters of it comes as an error of ours.
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except MrnnEdgeError as error:
        say(str(error))
        sys.exit(exit_code(error))
    except OSError as error:
        # The library turns what it reads into errors of its own; what is left is mostly output.
        say(f"input or output failed: {error}; check the disk and the paths")
        sys.exit(ExitCode.INTERNAL)
