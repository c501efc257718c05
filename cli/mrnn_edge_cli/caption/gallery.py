"""One HTML page of pictures, captions and words shaded by what the image gave for them.

It holds small copies of the pictures, and appears whole when it is closed, or not at all.
"""

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Final

from mrnn_edge.bulk.run import STANDARD_INPUT
from mrnn_edge.errors import InputError
from mrnn_edge.image.read import load_image
from mrnn_edge.language.records import Caption, Outcome, Word
from mrnn_edge_cli.explain import bits, judged, strength
from mrnn_edge_cli.html import END, head
from mrnn_edge_cli.outputs import open_page

_SIDE: Final = 360
"""Longest side of a small copy, in pixels."""

_STYLE: Final = """body { margin: 2rem }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 2rem }
figure { margin: 0 } img { display: block }
figcaption small { color: #595959; overflow-wrap: anywhere }
span { padding: 0 .15em; border-radius: .2em } .reason { color: #a00000 }
"""
_INTRODUCTION: Final = """<p>The stronger a word is shaded, the more bits came from the picture, not
from habit:
<span style="background: rgba(255, 170, 0, .9)">many</span>,
<span style="background: rgba(255, 170, 0, .3)">some</span>, <span>none</span>;
<span style="background: rgba(90, 120, 255, .5)">blue</span> if the picture spoke against it.</p>
<main>
"""
_TAIL: Final = b"\n</main>" + END


@contextmanager
def gallery(path: Path) -> Iterator[Callable[[Outcome], None]]:
    """Yields a function that adds an outcome to the page."""
    with open_page(path) as file:
        file.write((head("Captions", _STYLE) + _INTRODUCTION).encode())
        yield lambda outcome: file.write(_figure(outcome).encode("utf-8", "replace"))
        file.end(_TAIL)


def _figure(outcome: Outcome) -> str:
    """A picture with its caption, or with the reason why there is none."""
    if isinstance(outcome.result, Caption):
        text = _caption(outcome.result)
        spoken = outcome.result.text or outcome.result.reason or ""
    else:
        text, spoken = f'<span class="reason">{escape(str(outcome.result))}</span>', ""
    return (
        f"<figure>{_small_copy(outcome, spoken)}<figcaption>{text}<br>"
        f"<small>{escape(outcome.file)}</small></figcaption></figure>\n"
    )


def _caption(caption: Caption) -> str:
    said = f"{judged(caption.confidence)}, evidence {bits(caption.evidence)} bits"
    if caption.reason is not None:
        text = f'<span class="reason">{escape(caption.reason)}</span>'
    else:
        text = " ".join(map(_word, caption.words))
    return f"{text}<br><small>{said}</small>"


def _word(word: Word) -> str:
    share = strength(word)
    colour = "255, 170, 0" if share >= 0.0 else "90, 120, 255"
    title = f"{bits(word.grounding)} bits, probability {word.prob:.3f}"
    return (
        f'<span title="{title}" style="background: rgba({colour}, {abs(share):.2f})">'
        f"{escape(word.word)}</span>"
    )


def _small_copy(outcome: Outcome, spoken: str) -> str:
    if outcome.file == STANDARD_INPUT or isinstance(outcome.result, InputError):
        return ""  # read once and gone, or not to be read at all
    try:
        # It was captioned, so it was read: whole, or as far as was allowed.
        image = load_image(outcome.file, allow_truncated=True)
    except InputError:  # gone since it was captioned
        return ""
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img alt="{escape(spoken)}" width="{image.width}" height="{image.height}" '
        f'src="data:image/jpeg;base64,{data}">'
    )
