"""The commands, and how failures end. Only the module of the command that is called is imported."""

import contextlib
import os
import signal
import sys
import warnings
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mrnn_edge import __version__
from mrnn_edge.errors import MrnnEdgeError
from mrnn_edge_cli.failures import EPILOGUE, ExitCode, exit_code
from mrnn_edge_cli.output import say, write
from mrnn_edge_cli.start import collector_at_rest


class _Home(NamedTuple):
    """Where a command is, and its line in the list of commands."""

    module: str
    summary: str
    """The first line of its docstring, so that the list is printed without importing the module."""

    @property
    def function(self) -> str:
        """The name of the command's function."""
        return self.module.removesuffix(".command")


_COMMANDS: Final = {
    "caption": _Home("caption.command", "Describe pictures in one sentence each."),
    "webcam": _Home(
        "webcam.command", "Describe what a camera, a stream or a video shows, each time it changes."
    ),
    "score": _Home(
        "score", "Print how likely each sentence is for the picture, in the order given."
    ),
    "rank": _Home("rank", "Order the sentences of a file by how well they fit the picture."),
    "index": _Home("index", "Index the pictures of a folder, for `mrnn-edge search`."),
    "search": _Home("search", "Find pictures by a sentence, best first."),
    "info": _Home("info", "Print what a model is: its id, sizes, training, figures and licences."),
    "verify": _Home(
        "verify", "Check a model: files, hashes, graphs, and its results against torch's at export."
    ),
    "bench": _Home(
        "bench.command", "Measure captions on this machine: stages, start-up, throughput, memory."
    ),
    "doctor": _Home(
        "doctor.command", "Check this machine, and print the commands that repair what is wrong."
    ),
    "eval": _Home(
        "evaluate",
        "Measure a model: perplexity, BLEU-1..4, ROUGE-L, CIDEr, and METEOR if Java is installed.",
    ),
    "train": _Home(
        "train", "Train a model: prints a line of figures per epoch; keeps the best epoch on dev."
    ),
    "export": _Home(
        "export", "Write a run as two ONNX graphs in a model folder named after itself."
    ),
    "quantize": _Home("quantize", "Give a model int8 graphs and make them its default."),
}


class _Command(TyperCommand):
    """A command whose help lists options by theme, as rich would, without importing rich."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (row := parameter.get_help_record(ctx)) is not None:
                kind = f"{parameter.param_type_name.capitalize()}s"
                panel = getattr(parameter, "rich_help_panel", None) or kind
                sections.setdefault(panel, []).append(row)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


class _Commands(TyperGroup):
    """The group that imports a command when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        home = _COMMANDS.get(cmd_name)
        if home is None:
            from difflib import get_close_matches

            close = get_close_matches(cmd_name, _COMMANDS, n=1)
            if close and not ctx.resilient_parsing:
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {close[0]!r}?")
            return None
        with collector_at_rest():
            module = import_module(f"mrnn_edge_cli.{home.module}")
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        from mrnn_edge_cli.options import expanded

        single.command(cmd_name, cls=_Command)(expanded(getattr(module, home.function)))
        return get_command(single)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from typer.core import CompletionItem  # type: ignore[attr-defined]

        # The base class would import every command that matches.
        matching = ((name, home) for name, home in _COMMANDS.items() if name.startswith(incomplete))
        return [CompletionItem(name, help=home.summary) for name, home in matching]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, home.summary) for name, home in _COMMANDS.items()])


app = typer.Typer(
    cls=_Commands,
    epilog=EPILOGUE,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich takes longer to import than a caption takes
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        write(f"mrnn-edge {__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Pictures described in one sentence, on small machines, in milliseconds, offline."""


def _terminate(_signal: int, _frame: object) -> None:
    # An exception, so that incomplete files are cleaned up on the way out.
    sys.exit(ExitCode.TERMINATED)


def main() -> NoReturn:
    """Run the command and end the process."""
    code = run()
    if "torch" not in sys.modules:
        # Freeing numpy and the runtime object by object takes a tenth of a whole start
        # (docs/startup.md); the system does it at once. torch has workers to end.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # None, full, closed
                stream.flush()
        os._exit(code)
    sys.exit(code)


def run() -> int:
    """Run the command; an expected failure prints one line on stderr. Returns the exit code."""
    if not sys.warnoptions:
        # Pillow warns of odd files; those that matter raise errors of ours.
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        get_command(app).main(prog_name="mrnn-edge")
    except MrnnEdgeError as error:
        say(str(error))
        return exit_code(error)
    except OSError as error:
        # The library raises errors of its own for input; the rest is mostly output.
        say(f"input or output failed: {error}; check the disk and the paths")
        return ExitCode.INTERNAL
    except SystemExit as end:  # of typer, of a signal, or of a pipe without a reader
        return end.code if isinstance(end.code, int) else ExitCode.INTERNAL
    return ExitCode.DONE
