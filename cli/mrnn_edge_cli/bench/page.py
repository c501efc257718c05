"""A benchmark record as one HTML page with bars, to read and to pass on.

Takes a record, gives the page's text, which needs nothing beside it. The bars are SVG, written
here: a dozen rectangles need no library.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from mrnn_edge_cli.bench.comparing import Comparison
from mrnn_edge_cli.bench.figures import Percentiles
from mrnn_edge_cli.bench.record import BenchRecord
from mrnn_edge_cli.bench.words import circumstances, quiet, singles, timed
from mrnn_edge_cli.html import head

_STYLE: Final = """body { margin: 2rem auto; max-width: 46rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } tr { border-bottom: 1px solid #ddd }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
svg { max-width: 100%; height: auto } .bad { color: #a00000; font-weight: bold }
"""
_NAME, _BAR, _ROW = 270, 330, 26
"""Widths of names and of the longest bar, height of a row, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One thing's median, and how far its p95 reaches, both in the same unit."""

    name: str
    median: float
    p95: float
    shown: str
    """The number beside it."""


def page(record: BenchRecord, comparison: Comparison | None) -> str:
    """The page of one record, but for its END."""
    parts = [section(record)]
    if comparison is not None:
        parts.append(_comparison(comparison))
    return document(f"Speed of {record.setting.model}", parts)


def document(title: str, parts: Iterable[str]) -> str:
    """A page of parts that are HTML already, but for its END; the title is text."""
    return f"{head(title, _STYLE)}{''.join(parts)}"


def section(record: BenchRecord) -> str:
    """What was measured, bars of the times, the numbers, and what they mean."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(said)}</td></tr>\n"
        for name, said in circumstances(record).items()
    )
    mark = ' class="bad"' if record.conditions.busy else ""
    bars = [
        Bar(name=name, median=each.p50, p95=each.p95, shown=f"{each.p50:.2f} ms")
        for name, each in timed(record)
    ]
    return (
        f"<table>\n{rows}<tr><th>conditions</th><td{mark}>{escape(quiet(record))}</td></tr>\n"
        f"</table>\n<h2>Time of one caption and its parts</h2>\n"
        f"<p>Bars end at the median; the thin line reaches to p95.</p>\n{chart(bars)}"
        f"{_percentiles(timed(record))}<h2>The rest</h2>\n{_singles(singles(record))}{_MEANING}"
    )


def chart(bars: Sequence[Bar]) -> str:
    """Bars side by side in one scale, which begins at zero."""
    longest = max(bar.p95 for bar in bars) or 1.0
    height = _ROW * len(bars)
    width = _NAME + _BAR + 90
    drawn = []
    for number, bar in enumerate(bars):
        top = number * _ROW
        end, reach = (_NAME + _BAR * each / longest for each in (bar.median, bar.p95))
        middle = top + _ROW / 2
        drawn.append(
            f'<text x="{_NAME - 8}" y="{middle + 5:.0f}" text-anchor="end">'
            f"{escape(bar.name)}</text>"
            f'<rect x="{_NAME}" y="{top + 4}" width="{end - _NAME:.1f}" height="{_ROW - 8}" '
            'fill="#3b6ea5"/>'
            f'<line x1="{end:.1f}" x2="{reach:.1f}" y1="{middle:.1f}" y2="{middle:.1f}" '
            'stroke="#222"/>'
            f'<text x="{reach + 6:.1f}" y="{middle + 5:.0f}">{escape(bar.shown)}</text>\n'
        )
    label = escape("; ".join(f"{bar.name} {bar.shown}" for bar in bars))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-size="14" role="img" aria-label="{label}">\n'
        f"{''.join(drawn)}</svg>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text, the first column left, the others right."""

    def line(cells: Sequence[str], tag: str) -> str:
        first, *rest = map(escape, cells)
        numbers = "".join(f'<{tag} class="n">{cell}</{tag}>' for cell in rest)
        return f"<tr><{tag}>{first}</{tag}>{numbers}</tr>\n"

    return f"<table>\n{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>\n"


def _percentiles(rows: Iterable[tuple[str, Percentiles]]) -> str:
    shown = ((name, *(f"{ms:.2f}" for ms in (each.p50, each.p95, each.p99))) for name, each in rows)
    return table(("milliseconds", "p50", "p95", "p99"), shown)


def _singles(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>\n" for name, value in rows)
    return f"<table>\n{''.join(cells)}</table>\n"


def _comparison(comparison: Comparison) -> str:
    rows = (
        (
            verdict.name,
            f"{verdict.old:.2f}",
            f"{verdict.new:.2f}",
            f"{verdict.change:+.1%}",
            "worse" if verdict.regression else "" if verdict.judged else "not judged",
        )
        for verdict in comparison.verdicts
    )
    said = [*(f"Different: {each}" for each in comparison.differences), *comparison.notes]
    notes = "".join(f"<li>{escape(each)}</li>\n" for each in said)
    return (
        f"<h2>Compared with the old record</h2>\n<p>{len(comparison.regressions)} of the "
        f"judged figures are worse by more than {comparison.tolerance * 100:g}%.</p>\n"
        f"{table(('', 'old', 'new', 'change', ''), rows)}<ul>\n{notes}</ul>\n"
    )


_MEANING: Final = """<h2>What the numbers mean</h2>
<p>Wall time of single runs. Decode, encode and generate are the stages of a caption from a file's
bytes in memory; total is the whole call. Each round holds one caption, one run of the encoder
alone, one greedy caption of an array that has the encoder's size already, and one call of the step
graph, in an order that turns: what disturbs one disturbs all. The overhead ratio is the greedy
caption over the encoder alone, at the medians. Cold start is a new process from its start to its
end, the files in the system's cache; peak memory is that of such a process. Throughput counts a
bulk run on all the threads. Compare times of one machine; between machines compare ratios.</p>
"""
