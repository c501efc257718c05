"""What the HTML pages share: a head that forbids all but inline styles and images."""

from html import escape
from typing import Final

_HEAD: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff }}
img {{ max-width: 100%; height: auto }}
{style}</style>
<h1>{title}</h1>
"""
END: Final = b"\n</html>\n"
"""The last bytes of a page, which follow its seal."""


def head(title: str, style: str) -> str:
    """The beginning of a page; `title` is text, `style` is CSS."""
    return _HEAD.format(title=escape(title), style=style)
