"""A command's arguments as its function declares them, and the function as a command of click.

Takes a function whose parameters are `Annotated[type, Option(...)]` or `Argument(...)`, gives what
parses a command line, calls it and prints its help. Types: str, bool, int, float, Path, an enum of
words, a list of one of them, or None for what is left out. Knows no command.

Not typer: it reads the same declarations, but from 0.29 on calls a command by way of pydantic, two
thirds of the time that the whole start may take (docs/startup.md).
"""

import inspect
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import click

from mrnn_edge.errors import FileError

Exit = click.exceptions.Exit
"""Ends the command with an exit code."""


class Option:
    """A parameter that is named: `--name VALUE`, or for a bool `--name`."""

    def __init__(
        self,
        *names: str,
        help: str = "",
        metavar: str | None = None,
        min: float | None = None,
        max: float | None = None,
    ) -> None:
        """`names` are `--long` and perhaps `-s`; `min` and `max` bound a number."""
        self.names = names
        self.help = help
        self.metavar = metavar
        self.min = min
        self.max = max


class Argument:
    """A parameter that is known by its place; a list takes all that are left."""

    def __init__(self, *, metavar: str, help: str = "") -> None:
        self.metavar = metavar
        self.help = help


class _LocalPath(click.Path):
    """A path, `~` and `file:///…` understood: a shell does not expand `--output=~/a.csv`."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        from mrnn_edge.files import local_path

        try:
            return super().convert(local_path(os.fspath(value)), param, ctx)
        except FileError as error:
            self.fail(str(error), param, ctx)


class _Command(click.Command):
    """A command that explains its arguments too, which click leaves to the text."""

    def __init__(self, function: Callable[..., None], name: str) -> None:
        parameters = list(inspect.signature(function).parameters.values())
        super().__init__(
            name,
            callback=function,
            params=[_to_click(parameter) for parameter in parameters],
            help=inspect.getdoc(function),
        )
        declared = [get_args(parameter.annotation)[1] for parameter in parameters]
        self._arguments = [each for each in declared if isinstance(each, Argument)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(each.metavar, each.help) for each in self._arguments if each.help]
        if rows:
            with formatter.section("Arguments"):
                formatter.write_dl(rows)
        super().format_options(ctx, formatter)


def to_command(function: Callable[..., None], name: str) -> click.Command:
    """The command that a function is; its docstring is the help."""
    return _Command(function, name)


def _to_click(parameter: inspect.Parameter) -> click.Parameter:
    annotation, declared = get_args(parameter.annotation)
    kind, many = _kind(annotation)
    required = parameter.default is inspect.Parameter.empty
    made: click.Parameter
    if isinstance(declared, Argument):
        shown = declared.metavar if required else f"[{declared.metavar}]"
        made = click.Argument(
            [parameter.name],
            metavar=f"{shown}..." if many else shown,
            type=_type(kind),
            nargs=-1 if many else 1,
            required=required,
            callback=_callback(kind, many),
        )
    else:
        made = click.Option(
            [*declared.names, parameter.name],
            help=declared.help,
            metavar=declared.metavar,
            type=_type(kind, declared.min, declared.max),
            is_flag=True if kind is bool else None,
            multiple=many,
            required=required,
            show_default=kind is not bool and parameter.default not in (None, ""),
            callback=_callback(kind, many),
        )
    if not (required or many or kind is bool):
        # Given above, a None would be a value to click, and an argument never missing.
        given = parameter.default
        made.default = given.value if isinstance(given, Enum) else given
    return made


def _callback(kind: Any, many: bool) -> Callable[[click.Context, click.Parameter, Any], Any] | None:
    """What makes a value of click's one that the function takes."""
    if many:
        return lambda _ctx, _param, values: list(values)
    if _is_enum(kind):
        return lambda _ctx, _param, word: None if word is None else kind(word)
    return None


def _kind(annotation: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be many."""
    given = [kind for kind in get_args(annotation) if kind is not NoneType]
    if get_origin(annotation) is list:
        return given[0], True
    if given:  # X | None
        return _kind(given[0])
    return annotation, False


def _type(kind: Any, least: Any = None, most: Any = None) -> Any:
    if (least, most) != (None, None):
        return (click.IntRange if kind is int else click.FloatRange)(least, most)
    if kind is Path:
        return _LocalPath()
    if _is_enum(kind):
        return click.Choice([member.value for member in kind])
    return kind


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)
