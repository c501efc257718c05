"""Captions for people: how sure they are, and how much of each word came from the picture."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Final

import typer

from mrnn_edge.language.records import Caption, Word
from mrnn_edge_cli.output import is_terminal

UNSURE: Final = "not sure"
"""In place of a caption that was withheld."""
FULL_BITS: Final = 3.0
"""Grounding from which on a word is shown at full strength; on Flickr8K's dev split one word in ten
has more."""
SURE: Final = 0.8
LIKELY: Final = 0.5
"""Confidences from which on a caption is called sure, and likely; below it is a guess."""
_LISTED: Final = 10
"""Maximum number of unknown words that are listed."""


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


def spoken(caption: Caption) -> str:
    """The sentence, which may be empty; `not sure` if it was withheld."""
    return UNSURE if caption.text is None else caption.text


def caption_line(caption: Caption, *, explain: bool, coloured: bool) -> str:
    """The sentence; with `explain` its confidence, its evidence and each word with its bits too."""
    if not explain:
        return spoken(caption)
    words = explained(caption.words, coloured=coloured)
    return f"{spoken(caption)}\t{summary(caption)}\t{words}".rstrip("\t")


def explained(words: Sequence[Word], *, coloured: bool) -> str:
    """Each word with its bits; with `coloured` bright by their number, as terminals show it."""
    return "  ".join(_painted(word) if coloured else _plain(word) for word in words)


def _plain(word: Word) -> str:
    return f"{word.word} {bits(word.grounding)}"


def _painted(word: Word) -> str:
    share = strength(word)
    if share < 0.0:
        return typer.style(_plain(word), fg="magenta")
    green = "green" if share >= 0.25 else None
    return typer.style(_plain(word), fg=green, bold=share >= 0.5, dim=share < 0.125)


def bits(number: float | None) -> str:
    """A signed number of bits, or a question mark where there is none."""
    return "?" if number is None else f"{number:+.1f}"


def unknown_words(words: Iterable[str]) -> str:
    """A note on words that the model does not know, of which there is at least one."""
    distinct = list(dict.fromkeys(words))
    more = f" and {len(distinct) - _LISTED} more" if len(distinct) > _LISTED else ""
    shown = ", ".join(distinct[:_LISTED])
    return f"not in the vocabulary, scored as the unknown word: {shown}{more}"


def has_colours() -> bool:
    """Whether standard output is a terminal, and colours are not switched off by NO_COLOR."""
    return is_terminal(sys.stdout) and not os.environ.get("NO_COLOR")
