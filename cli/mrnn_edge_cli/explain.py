"""How sure a caption is, and how much of each word came from the picture, for people to read.

Takes a caption or its words, gives text. Knows no picture and writes nothing.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

import typer

from mrnn_edge.language.records import Caption, Word

FULL_BITS: Final = 3.0
"""Grounding from which on a word is shown at full strength; on Flickr8K's dev split one word in ten
has more."""


SURE: Final = 0.8
LIKELY: Final = 0.5
"""Confidences from which on a caption is called sure, and likely; below it is a guess."""


def summary(caption: Caption) -> str:
    """The confidence in words and as a number, and the evidence: `likely 0.62<TAB>+9.7 bits`."""
    return f"{judged(caption.confidence)}\t{bits(caption.evidence)} bits"


def judged(confidence: float | None) -> str:
    """The confidence in words and as a number; a question mark without one."""
    if confidence is None:
        return "?"
    names = ((SURE, "sure"), (LIKELY, "likely"), (0.0, "a guess"))
    name = next(name for least, name in names if confidence >= least)
    return f"{name} {confidence:.2f}"


def strength(word: Word) -> float:
    """How strongly a word is shown, -1..1: below 0 the image spoke against it."""
    return max(-1.0, min(1.0, (word.grounding or 0.0) / FULL_BITS))


def explained(words: Sequence[Word], *, coloured: bool) -> str:
    """Each word with its bits; with `coloured` bright by their number, as terminals show it."""
    return "  ".join(_painted(word) if coloured else _plain(word) for word in words)


def _plain(word: Word) -> str:
    return f"{word.word} {bits(word.grounding)}"


def _painted(word: Word) -> str:
    text = _plain(word)
    share = strength(word)
    if share < 0.0:
        return typer.style(text, fg="magenta")
    return typer.style(
        text,
        fg="green" if share >= 0.25 else None,
        bold=share >= 0.5,
        dim=share < 0.125,
    )


def bits(number: float | None) -> str:
    """A signed number of bits, or a question mark where there is none."""
    return "?" if number is None else f"{number:+.1f}"


def has_colours() -> bool:
    """Whether standard output is a terminal, and colours are not switched off by NO_COLOR."""
    return sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
