"""The commands, and how failures end. Only the module of the command that is called is imported."""

import contextlib
import os
import signal
import sys
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Final, NoReturn

import click

from mrnn_edge import __version__
from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge_cli.arguments import to_command
from mrnn_edge_cli.failures import EPILOGUE, ExitCode, exit_code
from mrnn_edge_cli.output import say, write
from mrnn_edge_cli.start import collector_at_rest


@dataclass(frozen=True)
class _Home:
    """Where a command's function is, and what the list of commands says of it."""

    module: str
    function: str
    summary: str
    """The first line of its docstring, so that the list can be printed without the module."""


_COMMANDS: Final = {
    "caption": _Home("caption.command", "caption", "Describe pictures in one sentence each."),
    "webcam": _Home(
        "webcam.command",
        "webcam",
        "Describe what a camera, a stream or a video shows, anew when it changes.",
    ),
    "score": _Home(
        "score", "score", "Tell how likely each sentence is for the picture, in the order given."
    ),
    "rank": _Home(
        "rank", "rank", "Order the sentences of a file by how much the picture speaks for them."
    ),
    "index": _Home("index", "index", "Index the pictures of a folder, for `mrnn-edge search`."),
    "search": _Home("search", "search", "Find pictures by a sentence, best first."),
    "info": _Home(
        "info", "info", "Tell what a model is: its id, sizes, training, figures and licences."
    ),
    "verify": _Home(
        "verify",
        "verify",
        "Check a model: files, hashes, graphs, and its answers against torch's at export.",
    ),
    "bench": _Home(
        "bench.command",
        "bench",
        "Measure captions on this machine: stages, start-up, throughput, memory.",
    ),
    "doctor": _Home(
        "doctor.command",
        "doctor",
        "Tell what is wrong on this machine, with the commands that mend it.",
    ),
    "eval": _Home(
        "evaluate",
        "evaluate",
        "Measure a model: perplexity, BLEU-1..4, ROUGE-L, CIDEr, and METEOR where Java is.",
    ),
    "train": _Home(
        "train",
        "train",
        "Train a model: a line of figures an epoch; the best on dev is kept.",
    ),
    "export": _Home(
        "export", "export", "Write a run as two ONNX graphs in a model folder named after itself."
    ),
    "quantize": _Home(
        "quantize", "quantize", "Give a model int8 graphs and make them its default."
    ),
}


class _Commands(click.Group):
    """The group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        home = _COMMANDS.get(cmd_name)
        if home is None:
            from difflib import get_close_matches

            for close in get_close_matches(cmd_name, _COMMANDS, n=1):
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {close!r}?")
            return None
        with collector_at_rest():
            module = import_module(f"mrnn_edge_cli.{home.module}")
        return to_command(getattr(module, home.function), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, home.summary) for name, home in _COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked:
        write(f"mrnn-edge {__version__}")
        ctx.exit()


app = _Commands(
    "mrnn-edge",
    help="Pictures described in one sentence, on small machines, in milliseconds, offline.",
    epilog=EPILOGUE,
    no_args_is_help=True,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Print the version.",
        )
    ],
)


def _terminate(_signal: int, _frame: object) -> None:
    # An exception, so that what is half written is cleaned up on the way out.
    sys.exit(ExitCode.TERMINATED)


def main() -> NoReturn:
    """Run the command and end the process."""
    code = run()
    if "torch" not in sys.modules:
        # Taking numpy and the runtime apart, object by object, costs a tenth of a whole start
        # (docs/startup.md); the system does it at once. torch has workers to end.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # None, full, closed
                stream.flush()
        os._exit(code)
    sys.exit(code)


def run() -> int:
    """Run the command; a failure that was foreseen is one line on stderr. Returns the exit code."""
    if not sys.warnoptions:
        # Pillow warns of odd files; what matters of it comes as an error of ours.
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return app.main(standalone_mode=False) or ExitCode.DONE
    except MrnnEdgeError as error:
        say(str(error))
        return exit_code(error)
    except click.Abort:  # Ctrl-C
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OSError as error:
        # The library turns what it reads into errors of its own; what is left is mostly output.
        say(f"input or output failed: {error}; check the disk and the paths")
        return ExitCode.INTERNAL
    except SystemExit as end:  # of a signal, or of a pipe without a reader
        return end.code if isinstance(end.code, int) else ExitCode.INTERNAL
