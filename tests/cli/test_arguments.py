"""What a function declares, as a command line."""

import enum
from pathlib import Path
from typing import Annotated

import click
import pytest

from mrnn_edge_cli.arguments import Argument, Option, to_command


class Colour(enum.StrEnum):
    RED = "r"
    BLUE = "b"


def called(line: str, function) -> None:
    to_command(function, "draw").main(line.split(), standalone_mode=False)


@pytest.fixture
def seen():
    return {}


@pytest.fixture
def draw(seen):
    def draw(
        picture: Annotated[str, Argument(metavar="PICTURE", help="What is drawn.")],
        more: Annotated[list[str] | None, Argument(metavar="MORE")] = None,
        colour: Annotated[Colour, Option("--colour", help="With what.")] = Colour.RED,
        other: Annotated[Colour | None, Option("--other")] = None,
        size: Annotated[int, Option("--size", "-s", min=1, max=9)] = 3,
        weight: Annotated[float | None, Option("--weight", min=-1.5)] = None,
        output: Annotated[Path | None, Option("--output", "-o", metavar="FILE")] = None,
        without: Annotated[list[str] | None, Option("--without", metavar="WORD")] = None,
        twice: Annotated[bool, Option("--twice")] = False,
        zero: Annotated[bool, Option("--null", "-0")] = False,
    ) -> None:
        """Draw pictures.

        As many as there are.
        """
        seen.update(locals())

    return draw


def test_what_is_left_out_has_the_functions_defaults(draw, seen):
    called("cat", draw)
    del seen["seen"]
    assert seen == {
        "picture": "cat", "more": [], "colour": Colour.RED, "other": None, "size": 3,
        "weight": None, "output": None, "without": [], "twice": False, "zero": False,
    }  # fmt: skip


def test_every_type_is_read_wherever_it_stands(draw, seen):
    called(
        "--twice cat -o out.txt dog --colour b -s 9 --weight -1 --without a -0 bird --without -b",
        draw,
    )
    del seen["seen"]
    assert seen == {
        "picture": "cat", "more": ["dog", "bird"], "colour": Colour.BLUE, "other": None,
        "size": 9, "weight": -1.0, "output": Path("out.txt"), "without": ["a", "-b"],
        "twice": True, "zero": True,
    }  # fmt: skip
    assert isinstance(seen["colour"], Colour)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Missing argument 'PICTURE'"),
        ("cat --size 10", "10 is not in the range 1<=x<=9"),
        ("cat --size many", "'many' is not a valid integer"),
        ("cat --colour green", "'green' is not one of 'r', 'b'"),
        ("cat --weight", "requires an argument"),
        ("cat --weight -2", "-2.0 is not in the range x>=-1.5"),
        ("cat --colr r", "No such option"),
    ],
)
def test_what_cannot_be_is_a_usage_error_that_says_what_can(draw, seen, line, message):
    with pytest.raises(click.UsageError) as caught:
        called(line, draw)
    assert message in caught.value.format_message()
    assert not seen


def test_the_help_is_the_docstring_the_arguments_and_the_options(draw, capsys):
    called("--help", draw)
    text = capsys.readouterr().out
    assert "[OPTIONS] PICTURE [MORE]..." in text
    assert "Draw pictures." in text
    assert "PICTURE  What is drawn." in text
    assert "[default: r]" in text
    assert "[default: 3; 1<=x<=9]" in text
    assert "WORD" in text
