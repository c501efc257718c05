"""The caption over the picture: words on a dark band, coloured by what the image gave for each.

Pillow draws text when it changes, numpy lays it over each frame: the band's part of the picture is
darkened to a quarter, and the brighter of picture and text is taken.
"""

from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mrnn_edge.camera.scene import CaptionEvent
from mrnn_edge.image.read import Pixels
from mrnn_edge.language.records import Word
from mrnn_edge_cli.explain import UNSURE, strength

Colour: TypeAlias = tuple[int, int, int]

WHITE: Final[Colour] = (255, 255, 255)
GREY: Final[Colour] = (200, 200, 200)
_GREEN: Final[Colour] = (60, 255, 90)
_MAGENTA: Final[Colour] = (255, 90, 255)
_PLAIN: Final[Colour] = (170, 170, 170)
"""Of a word that habit alone gave; the darkened picture below it reaches 63."""
_CAPTION_SHARE: Final = 20
"""Lines of caption text that fit over a picture's height."""
_STATUS_SHARE: Final = 32


class Overlay:
    """Draws the last caption and a status over frames."""

    def __init__(self, *, explain: bool) -> None:
        self._explain = explain
        self._words: tuple[tuple[str, Colour], ...] = ()
        self._status = ""

    def caption(self, event: CaptionEvent) -> None:
        """Show this from now on."""
        caption = event.caption
        if caption.text is None:
            self._words = ((UNSURE, GREY),)
        elif self._explain:
            self._words = tuple((word.word, word_colour(word)) for word in caption.words)
        else:
            self._words = tuple((word, WHITE) for word in caption.text.split())

    def status(self, text: str) -> None:
        """Show this in the upper corner from now on."""
        self._status = text

    def draw(self, bgr: Pixels) -> None:
        """Draw both on a picture, uint8 [H, W, 3] in OpenCV's order."""
        height, width = bgr.shape[:2]
        if self._status:
            band = _band(((self._status, GREY),), width, max(height // _STATUS_SHARE, 8))
            _lay(bgr, band, top=0)
        if self._words:
            band = _band(self._words, width, max(height // _CAPTION_SHARE, 8))
            _lay(bgr, band, top=height - len(band))


def word_colour(word: Word) -> Colour:
    """From grey to green by the word's bits; magenta where the image spoke against it."""
    share = strength(word)
    if word.grounding is None:
        return WHITE
    to, share = (_MAGENTA, -share) if share < 0.0 else (_GREEN, share)
    red, green, blue = (
        round(plain + (full - plain) * share) for plain, full in zip(_PLAIN, to, strict=True)
    )
    return red, green, blue


@lru_cache(maxsize=2)
def _band(words: tuple[tuple[str, Colour], ...], width: int, size: int) -> Pixels:
    """Words on black, uint8 [h, width, 3] in OpenCV's order; the last status and caption stay."""
    font = ImageFont.load_default(size)
    margin, line_height = size // 2, size * 4 // 3
    space = font.getlength(" ")
    placed: list[tuple[float, int, str, Colour]] = []
    x, line = float(margin), 0
    for word, colour in words:
        length = font.getlength(word)
        if x > margin and x + length > width - margin:
            x, line = float(margin), line + 1
        placed.append((x, line, word, colour))
        x += length + space
    height = (line + 1) * line_height + margin
    image = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(image)
    for left, row, word, colour in placed:
        pen.text((left, margin // 2 + row * line_height), word, fill=colour, font=font)
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])


def _lay(bgr: NDArray[np.uint8], band: Pixels, *, top: int) -> None:
    # A picture lower than the band shows what fits of it.
    below = bgr[max(top, 0) :][: len(band)]
    np.right_shift(below, 2, out=below)
    np.maximum(below, band[: len(below)], out=below)
