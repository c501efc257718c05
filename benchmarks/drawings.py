"""Pictures that show nothing a caption could say: noise, patterns, drawings, text, screens.

All are drawn here from a seed. Two more kinds are made of photographs that the caller names: upside
down, and shrunk to a few pixels. A model should give their captions a low confidence.
"""

import math
import string
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE: Final = 320
"""Side of a picture in pixels."""

Draw = Callable[[np.random.Generator], Image.Image]


def pictures(seed: int, each: int) -> Iterator[tuple[str, Image.Image]]:
    """`each` pictures of every kind, with the name of the kind."""
    for name, draw in KINDS.items():
        for number in range(each):
            yield name, draw(np.random.default_rng((seed, number, len(name))))


def upside_down(photo: Image.Image) -> Image.Image:
    """A photograph turned by 180 degrees."""
    return photo.convert("RGB").rotate(180)


def tiny(photo: Image.Image) -> Image.Image:
    """A photograph of which 12 pixels a side are left."""
    return photo.convert("RGB").resize((12, 12)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _canvas(
    random: np.random.Generator, dark: float = 0.3
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A light sheet, sometimes a dark one."""
    low, high = (0, 60) if random.random() < dark else (215, 256)
    image = Image.new("RGB", (SIDE, SIDE), tuple(random.integers(low, high, 3).tolist()))
    return image, ImageDraw.Draw(image)


def _colour(random: np.random.Generator) -> tuple[int, ...]:
    return tuple(random.integers(0, 256, 3).tolist())


def _array(values: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8), "RGB")


def _noise(random: np.random.Generator) -> Image.Image:
    return _array(random.uniform(0, 255, (SIDE, SIDE, 3)))


def _grey_noise(random: np.random.Generator) -> Image.Image:
    grain = random.normal(random.uniform(60, 190), random.uniform(20, 90), (SIDE, SIDE, 1))
    return _array(np.repeat(grain, 3, axis=2))


def _clouds(random: np.random.Generator) -> Image.Image:
    """Noise of several sizes laid over one another."""
    total = np.zeros((SIDE, SIDE, 3))
    for cells in (4, 8, 16, 32, 64):
        grain = random.uniform(-1, 1, (cells, cells, 3)) * 128 / math.sqrt(cells)
        layer = [
            Image.fromarray(grain[..., c].astype(np.float32)).resize(
                (SIDE, SIDE), Image.Resampling.BICUBIC
            )
            for c in range(3)
        ]
        total += np.stack([np.asarray(each) for each in layer], axis=2)
    return _array(total + random.uniform(60, 190, 3))


def _plain(random: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), _colour(random))


def _slope(random: np.random.Generator) -> Image.Image:
    angle = random.uniform(0, 2 * math.pi)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    along = (np.cos(angle) * x + np.sin(angle) * y)[..., None]
    along = (along - along.min()) / np.ptp(along)
    return _array(along * np.array(_colour(random)) + (1 - along) * np.array(_colour(random)))


def _stripes(random: np.random.Generator) -> Image.Image:
    angle, period = random.uniform(0, math.pi), random.uniform(6, 60)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 2 * math.pi / period)[..., None] > 0
    return _array(np.where(wave, np.array(_colour(random)), np.array(_colour(random))))


def _checks(random: np.random.Generator) -> Image.Image:
    size = int(random.integers(6, 60))
    y, x = np.mgrid[0:SIDE, 0:SIDE] // size
    return _array(
        np.where(((x + y) % 2)[..., None] > 0, np.array(_colour(random)), np.array(_colour(random)))
    )


def _dots(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random)
    step, colour = int(random.integers(12, 50)), _colour(random)
    for x in range(0, SIDE, step):
        for y in range(0, SIDE, step):
            draw.ellipse((x, y, x + step // 2, y + step // 2), fill=colour)
    return image


def _rings(random: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[0:SIDE, 0:SIDE] - SIDE / 2
    twist = random.integers(0, 6) * np.arctan2(y, x)
    wave = np.sin(np.hypot(x, y) / random.uniform(2, 12) + twist)[..., None]
    return _array(128 + 127 * wave * random.uniform(0.3, 1, 3))


def _words(random: np.random.Generator, count: int) -> str:
    letters = list(string.ascii_lowercase)
    return " ".join("".join(random.choice(letters, random.integers(2, 10))) for _ in range(count))


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _text_page(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random, dark=0.1)
    size = float(random.uniform(9, 18))
    for line in range(int(SIDE / size / 1.3)):
        if random.random() < 0.9:
            draw.text(
                (14, 8 + line * size * 1.3), _words(random, int(420 / size)), "black", _font(size)
            )
    return image


def _terminal(random: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), (12, 14, 20))
    draw = ImageDraw.Draw(image)
    for line in range(22):
        indent = int(random.integers(0, 5)) * 14
        draw.text(
            (6 + indent, 4 + line * 14),
            _words(random, int(random.integers(1, 7))),
            _colour(random),
            _font(11),
        )
    return image


def _headline(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random)
    for line in range(int(random.integers(1, 4))):
        draw.text(
            (20, 60 + 70 * line),
            _words(random, 2).upper(),
            _colour(random),
            _font(float(random.uniform(24, 48))),
        )
    return image


def _table(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random, dark=0.0)
    rows, columns = int(random.integers(8, 18)), int(random.integers(3, 8))
    for row in range(rows):
        for column in range(columns):
            box = (
                column * SIDE / columns,
                row * SIDE / rows,
                (column + 1) * SIDE / columns,
                (row + 1) * SIDE / rows,
            )
            draw.rectangle(box, outline=(170, 170, 170))
            draw.text((box[0] + 3, box[1] + 3), str(random.integers(0, 9999)), "black", _font(10))
    return image


def _bars(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random, dark=0.1)
    count = int(random.integers(4, 12))
    for bar in range(count):
        left, width = 30 + bar * 270 / count, 200 / count
        draw.rectangle(
            (left, 290 - random.uniform(10, 240), left + width, 290), fill=_colour(random)
        )
    draw.line((24, 20, 24, 290, 310, 290), "black", 2)
    return image


def _curves(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random, dark=0.2)
    for _ in range(int(random.integers(1, 5))):
        heights = np.cumsum(random.normal(0, 10, 60)) + random.uniform(80, 240)
        draw.line([(25 + 4.8 * n, float(h)) for n, h in enumerate(heights)], _colour(random), 2)
    draw.line((24, 20, 24, 290, 310, 290), (120, 120, 120), 2)
    return image


def _pie(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random, dark=0.1)
    ends = np.sort(random.uniform(0, 360, 5)).tolist()
    for start, end in zip(ends, [*ends[1:], ends[0] + 360], strict=True):
        draw.pieslice((50, 50, 270, 270), start, end, fill=_colour(random))
    return image


def _flow(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random, dark=0.1)
    centres = random.uniform(50, 270, (6, 2)).tolist()
    draw.line([tuple(centre) for centre in centres], "black", 2)
    for x, y in centres:
        draw.rectangle((x - 34, y - 16, x + 34, y + 16), fill=_colour(random), outline="black")
        draw.text((x - 28, y - 6), _words(random, 1)[:9], "white", _font(11))
    return image


def _logo(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random)
    shape, colour = random.integers(0, 4), _colour(random)
    if shape == 0:
        draw.ellipse((60, 40, 260, 240), fill=colour)
    elif shape == 1:
        draw.rounded_rectangle((60, 40, 260, 240), 40, fill=colour)
    elif shape == 2:
        draw.polygon([(160, 30), (280, 240), (40, 240)], fill=colour)
    else:
        draw.arc((60, 40, 260, 240), 30, 300, fill=colour, width=36)
    draw.text((112, 82), _words(random, 1)[0].upper(), _colour(random), _font(100))
    draw.text((70, 262), _words(random, 1), _colour(random), _font(34))
    return image


def _code_square(random: np.random.Generator) -> Image.Image:
    cells = random.integers(0, 2, (25, 25)).astype(np.uint8) * 255
    return Image.fromarray(cells).resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("RGB")


def _bar_code(random: np.random.Generator) -> Image.Image:
    row = np.repeat(random.integers(0, 2, 80), random.integers(1, 5, 80))[:SIDE]
    lines = np.tile(np.resize(row, SIDE) * 255, (SIDE, 1)).astype(np.uint8)
    image = Image.fromarray(lines).convert("RGB")
    ImageDraw.Draw(image).rectangle((0, 260, SIDE, SIDE), fill="white")
    return image


def _desktop(random: np.random.Generator) -> Image.Image:
    """A screenshot: windows, buttons, text."""
    image = _slope(random)
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 4))):
        left, top = random.uniform(0, 140, 2)
        draw.rectangle((left, top, left + 170, top + 150), fill=(245, 245, 245), outline="grey")
        draw.rectangle((left, top, left + 170, top + 16), fill=_colour(random))
        for line in range(7):
            draw.text((left + 6, top + 22 + 14 * line), _words(random, 4)[:26], "black", _font(10))
        draw.rounded_rectangle(
            (left + 110, top + 126, left + 162, top + 144), 4, fill=_colour(random)
        )
    return image


def _form(random: np.random.Generator) -> Image.Image:
    """A page of an application."""
    image, draw = _canvas(random, dark=0.3)
    draw.rectangle((0, 0, SIDE, 34), fill=_colour(random))
    draw.rectangle((0, 34, 70, SIDE), fill=(200, 205, 212))
    for row in range(6):
        draw.text((82, 46 + 44 * row), _words(random, 2)[:18], (90, 90, 90), _font(11))
        draw.rectangle((82, 60 + 44 * row, 300, 80 + 44 * row), outline=(150, 150, 150))
    return image


def _x_ray(random: np.random.Generator) -> Image.Image:
    """Bright bands on black, blurred."""
    image = Image.new("L", (SIDE, SIDE), 10)
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(4, 12))):
        x, y = random.uniform(40, 280, 2)
        width, height = random.uniform(10, 40), random.uniform(60, 160)
        draw.ellipse(
            (x - width, y - height, x + width, y + height), fill=int(random.integers(60, 230))
        )
    return image.filter(ImageFilter.GaussianBlur(9)).convert("RGB")


def _cells(random: np.random.Generator) -> Image.Image:
    """A field of a microscope: stained cells in a circle."""
    image = Image.new("RGB", (SIDE, SIDE), "black")
    draw = ImageDraw.Draw(image)
    draw.ellipse((8, 8, 312, 312), fill=(238, 225, 232))
    tint = _colour(random)
    for _ in range(120):
        x, y = random.uniform(30, 290, 2)
        if math.hypot(x - 160, y - 160) < 140:
            size = random.uniform(5, 13)
            draw.ellipse((x - size, y - size, x + size, y + size), fill=tint)
            draw.ellipse(
                (x - size / 3, y - size / 3, x + size / 3, y + size / 3), fill=(70, 20, 90)
            )
    return image.filter(ImageFilter.GaussianBlur(1.2))


def _staff(random: np.random.Generator) -> Image.Image:
    """Music, more or less."""
    image, draw = _canvas(random, dark=0.0)
    for top in range(30, 300, 70):
        for line in range(5):
            draw.line((10, top + 8 * line, 310, top + 8 * line), "black")
        for x in range(24, 300, 26):
            y = top + int(random.integers(0, 8)) * 4
            draw.ellipse((x, y, x + 9, y + 7), fill="black")
            draw.line((x + 9, y + 3, x + 9, y - 24), "black")
    return image


def _circuit(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random, dark=0.5)
    colour = _colour(random)
    for _ in range(26):
        x, y = (random.integers(1, 16, 2) * 20).tolist()
        draw.line((x, y, x + int(random.integers(-4, 5)) * 20, y), colour, 2)
        draw.line((x, y, x, y + int(random.integers(-4, 5)) * 20), colour, 2)
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
    return image


def _map(random: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), (236, 232, 222))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        centre, spread = random.uniform(0, SIDE, 2), random.uniform(20, 80)
        points = centre + random.normal(0, spread, (6, 2))
        draw.polygon([tuple(point) for point in points.tolist()], fill=_colour(random))
    for _ in range(9):
        draw.line(random.uniform(0, SIDE, 6).tolist(), (255, 250, 210), int(random.integers(2, 8)))
    return image


def _stars(random: np.random.Generator) -> Image.Image:
    values = np.zeros((SIDE, SIDE, 3))
    at = random.integers(0, SIDE, (400, 2))
    values[at[:, 0], at[:, 1]] = random.uniform(80, 255, (400, 1))
    return _array(values).filter(ImageFilter.GaussianBlur(0.7))


def _scribble(random: np.random.Generator) -> Image.Image:
    image, draw = _canvas(random)
    for _ in range(3):
        draw.line(
            (np.cumsum(random.normal(0, 18, (90, 2)), axis=0) + 160).flatten().tolist(),
            _colour(random),
            3,
        )
    return image


KINDS: Final[dict[str, Draw]] = {
    "noise": _noise,
    "grey noise": _grey_noise,
    "clouds": _clouds,
    "plain": _plain,
    "slope": _slope,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "rings": _rings,
    "text page": _text_page,
    "terminal": _terminal,
    "headline": _headline,
    "table": _table,
    "bar chart": _bars,
    "curves": _curves,
    "pie chart": _pie,
    "flow chart": _flow,
    "logo": _logo,
    "code square": _code_square,
    "bar code": _bar_code,
    "desktop": _desktop,
    "form": _form,
    "x-ray": _x_ray,
    "cells": _cells,
    "staff": _staff,
    "circuit": _circuit,
    "map": _map,
    "stars": _stars,
    "scribble": _scribble,
}
"""Name of each kind and what draws one."""
