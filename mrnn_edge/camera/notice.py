"""What is told to people while frames come: one line of text each, and whoever wants to hear it."""

from collections.abc import Callable
from typing import TypeAlias

Notice: TypeAlias = Callable[[str], None]
"""Told in one line, for people, what happens to a source; it holds no password."""


def unheard(_: str) -> None:
    """The notice that nobody gets."""
