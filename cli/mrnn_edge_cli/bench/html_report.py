"""A benchmark record as one HTML page. Takes a record, returns the page's text."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from mrnn_edge_cli.bench.comparing import Comparison
from mrnn_edge_cli.bench.record import BenchRecord
from mrnn_edge_cli.bench.summary import circumstances, compared, quiet, singles, timed
from mrnn_edge_cli.html import head

_STYLE: Final = """body { margin: 2rem auto; max-width: 46rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } tr { border-bottom: 1px solid #ddd }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.bad { color: #a00000; font-weight: bold }
"""
_MEANING: Final = """<h2>What the numbers mean</h2>
<p>Wall time of single runs. Decode, encode and generate are the stages of a caption from a file's
bytes in memory; total is the whole call. Cold start and peak memory are those of a new process,
throughput that of a bulk run. Compare times of one machine; between machines compare ratios.</p>
"""


def page(record: BenchRecord, comparison: Comparison | None) -> str:
    """The page of one record, except for its END (html.py)."""
    parts = [section(record)]
    if comparison is not None:
        parts.append(_comparison(comparison))
    return document(f"Speed of {record.setting.model}", parts)


def document(title: str, parts: Iterable[str]) -> str:
    """A page of parts that are HTML already, except for its END; the title is text."""
    return f"{head(title, _STYLE)}{''.join(parts)}"


def section(record: BenchRecord) -> str:
    """What was measured, the numbers, and what they mean."""
    mark = ' class="bad"' if record.conditions.busy else ""
    times = [
        (name, *(f"{ms:.2f}" for ms in (each.p50, each.p95, each.p99)))
        for name, each in timed(record)
    ]
    return (
        f"<table>\n{_facts(circumstances(record).items())}"
        f"<tr><th>conditions</th><td{mark}>{escape(quiet(record))}</td></tr>\n</table>\n"
        f"<h2>Time of one caption and its parts</h2>\n"
        f"{table(('milliseconds', 'p50', 'p95', 'p99'), times)}"
        f"<h2>The rest</h2>\n<table>\n{_facts(singles(record))}</table>\n{_MEANING}"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text, the first column left, the others right."""

    def line(cells: Sequence[str], tag: str) -> str:
        first, *rest = map(escape, cells)
        numbers = "".join(f'<{tag} class="n">{cell}</{tag}>' for cell in rest)
        return f"<tr><{tag}>{first}</{tag}>{numbers}</tr>\n"

    return f"<table>\n{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>\n"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>\n" for name, value in rows
    )


def _comparison(comparison: Comparison) -> str:
    said = [*(f"Different: {each}" for each in comparison.differences), *comparison.notes]
    notes = "".join(f"<li>{escape(each)}</li>\n" for each in said)
    return (
        f"<h2>Compared with the old record</h2>\n<p>{len(comparison.regressions)} of the "
        f"judged figures are worse by more than {comparison.tolerance * 100:g}%.</p>\n"
        f"{table(('', 'old', 'new', 'change', ''), compared(comparison))}<ul>\n{notes}</ul>\n"
    )
