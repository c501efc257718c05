"""The reliability diagram and the risk curve of a model's confidence, as one SVG.

Takes figures, gives text; writes nothing.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mrnn_edge_train.evaluation.trust import Reliability

_SIDE: Final = 240
_MARGIN: Final = 48
_GREY, _BLUE = "#999999", "#2060b0"


def reliability_svg(figures: "Reliability", title: str) -> str:
    """Left: the share of right captions by confidence, a dot a tenth, its area the captions.

    Right: the share of wrong captions among the surest ones, by how many are kept.
    """
    width, height = 2 * _SIDE + 3 * _MARGIN, _SIDE + 2 * _MARGIN
    dots = "".join(
        _dot(each.confidence, each.right, (each.captions / figures.captions) ** 0.5)
        for each in figures.bins
    )
    tenths = [(number / 10, risk) for number, risk in enumerate(figures.risk, 1)]
    left = _panel(
        "confidence", "share of right captions", _line([(0.0, 0.0), (1.0, 1.0)], _GREY) + dots
    )
    right = _panel("share of captions kept", "share of wrong captions", _line(tenths, _BLUE))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<text x="{_MARGIN}" y="24" font-size="14">{_escaped(title)}</text>'
        f'<g transform="translate({_MARGIN},{_MARGIN})">{left}</g>'
        f'<g transform="translate({_SIDE + 2 * _MARGIN},{_MARGIN})">{right}</g></svg>\n'
    )


def _panel(across: str, up: str, drawing: str) -> str:
    """A square from 0 to 1 on both axes, with their names."""
    ends = "".join(
        f'<text x="{value * _SIDE}" y="{_SIDE + 16}" text-anchor="middle">{value:g}</text>'
        f'<text x="-6" y="{_SIDE * (1 - value) + 4}" text-anchor="end">{value:g}</text>'
        for value in (0.0, 0.5, 1.0)
    )
    middle = _SIDE / 2
    return (
        f'<rect width="{_SIDE}" height="{_SIDE}" fill="none" stroke="black"/>{ends}{drawing}'
        f'<text x="{middle}" y="{_SIDE + 34}" text-anchor="middle">{across}</text>'
        f'<text transform="translate(-30,{middle}) rotate(-90)" text-anchor="middle">{up}</text>'
    )


def _line(points: Iterable[tuple[float, float]], colour: str) -> str:
    places = " ".join(f"{x * _SIDE:.1f},{(1 - y) * _SIDE:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _dot(x: float, y: float, share: float) -> str:
    return (
        f'<circle cx="{x * _SIDE:.1f}" cy="{(1 - y) * _SIDE:.1f}" r="{3 + 24 * share:.1f}" '
        f'fill="{_BLUE}" fill-opacity="0.6"/>'
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
