"""`mrnn-edge bench`: how fast a model is on this machine, and whether it has become slower."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mrnn_edge.errors import OptionError
from mrnn_edge.options import DecodeOptions
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import Loading, LoadOptions, load
from mrnn_edge_cli.output import one_line, say, write, write_json

if TYPE_CHECKING:
    from mrnn_edge_cli.bench.comparing import Comparison
    from mrnn_edge_cli.bench.measuring import BenchOptions
    from mrnn_edge_cli.bench.record import BenchRecord, Setting

_TOLERANCE: Final = "10%"
COMPARISON: Final = "Comparison"


def bench(
    picture: Annotated[
        str | None,
        typer.Argument(
            metavar="PICTURE", help="A picture or a folder of pictures; default: a built-in one."
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=100_000, help="Number of measured rounds.")
    ] = 100,
    compare: Annotated[
        Path | None,
        opt.path_option(
            "--compare",
            metavar="OLD.json",
            help="Compare with a record of --json.",
            panel=COMPARISON,
        ),
    ] = None,
    tolerance: Annotated[
        str | None,
        opt.under(
            COMPARISON,
            "--tolerance",
            metavar="PERCENT",
            help=f"How much worse still counts as equal; default: {_TOLERANCE}.",
        ),
    ] = None,
    compare_anyway: Annotated[
        bool,
        opt.under(
            COMPARISON,
            "--compare-anyway",
            help="Compare records of different machines or models too.",
        ),
    ] = False,
    json: opt.Json = False,
    html: opt.Html = None,
    force: opt.Force = False,
    beam: opt.Beam = None,
    *,
    loading: Loading,
) -> None:
    """Measure captions on this machine: stages, start-up, throughput, memory.

    Takes about 15 s with the defaults; nothing else should run meanwhile. With --compare, a median
    that is worse by more than the tolerance ends with exit code 7.
    """
    from mrnn_edge_cli.bench.comparing import compare as compare_records
    from mrnn_edge_cli.bench.comparing import parse_tolerance
    from mrnn_edge_cli.bench.html_report import page
    from mrnn_edge_cli.bench.measuring import BenchOptions
    from mrnn_edge_cli.bench.record import read_record
    from mrnn_edge_cli.html import END
    from mrnn_edge_cli.outputs import check_outputs, is_page, model_files, open_page

    if compare is None and (compare_anyway or tolerance is not None):
        raise OptionError(
            "--tolerance and --compare-anyway go with --compare; name a record to compare"
        )
    read = [*model_files(loading.model), *(path for path in (picture, compare) if path is not None)]
    check_outputs({"--html": html}, sources=read, force=force, refreshed={"--html": is_page})
    allowed = parse_tolerance(tolerance or _TOLERANCE)
    old = None if compare is None else read_record(compare)
    options = BenchOptions(
        runs=runs, decoding=DecodeOptions(beam=beam), command=_caption(loading, beam)
    )
    like = None if old is None or compare_anyway else old.setting
    # Opened before the work, so that a page that cannot be written fails early.
    with open_page(html) if html else nullcontext() as file:
        record = _measure(picture, options, loading, like)
        comparison = compare_records(old, record, tolerance=allowed) if old else None
        if file is not None:
            file.write(page(record, comparison).encode("utf-8", "backslashreplace"))
            file.end(END)
    _show(record, comparison, json=json)
    if not loading.quiet:
        for reason in record.conditions.reasons():
            say(f"the machine was busy: {reason}; it can do better than these figures")
    if comparison is not None and comparison.regressions:
        worse = ", ".join(comparison.regressions)
        doubt = "; measure again when it is idle" if record.conditions.busy else ""
        say(f"worse by more than {comparison.tolerance * 100:g}%: {worse}{doubt}")
        raise typer.Exit(ExitCode.REGRESSION)


def _measure(
    picture: str | None, options: "BenchOptions", loading: LoadOptions, like: "Setting | None"
) -> "BenchRecord":
    """The record of this machine. Raises BenchRecordError if its setting is not `like`."""
    from mrnn_edge_cli.bench import comparing, measuring
    from mrnn_edge_cli.bench.hardware import Machine, pinned
    from mrnn_edge_cli.bench.picture import built_in, read_pictures

    pictures = built_in() if picture is None else read_pictures(picture)
    machine = Machine.here()
    with pinned(loading.threads) as affinity:
        captioner = load(loading)
        setting = measuring.setting_of(captioner, pictures, options.decoding.width, machine)
        if like is not None:
            comparing.refuse_unlike(like, setting)
        if not loading.quiet:
            say(f"measuring {options.runs} rounds and the command's start")
        return measuring.measure(captioner, pictures, options, setting=setting, affinity=affinity)


def _caption(loading: LoadOptions, beam: int | None) -> tuple[str, ...]:
    """The command whose start is measured, without its picture."""
    options = {
        "--model": loading.model,
        "--device": loading.device,
        "--precision": loading.precision,
        "--threads": loading.threads,
        "--beam": beam,
    }
    given = [(name, str(value)) for name, value in options.items() if value is not None]
    return ("mrnn_edge_cli", "caption", "--quiet", *(each for pair in given for each in pair))


def _show(record: "BenchRecord", comparison: "Comparison | None", *, json: bool) -> None:
    if json:
        document: dict[str, Any] = record.to_dict()
        if comparison is not None:
            document["comparison"] = comparison.to_dict()
        write_json(document)
        return
    for line in (*_lines(record), *(_compared(comparison) if comparison else ())):
        write(one_line(line))


def _lines(record: "BenchRecord") -> list[str]:
    from mrnn_edge_cli.bench.summary import circumstances, quiet, singles, timed

    facts = {**circumstances(record), "conditions": quiet(record)}
    lines = [
        *(f"{name:12}{said}" for name, said in facts.items()),
        "",
        f"{'ms':40}{'p50':>9}{'p95':>9}{'p99':>9}",
    ]
    for name, each in timed(record):
        lines.append(f"{name:40}{each.p50:9.2f}{each.p95:9.2f}{each.p99:9.2f}")
    return [*lines, "", *(f"{name:40}{value}" for name, value in singles(record))]


def _compared(comparison: "Comparison") -> list[str]:
    from mrnn_edge_cli.bench.summary import compared

    rows = [("compared with the old record", "old", "new", "change", ""), *compared(comparison)]
    return [
        "",
        *(
            f"{name:40}{old:>10}{new:>10}{by:>9}  {said}".rstrip()
            for name, old, new, by, said in rows
        ),
        *(f"different: {each}" for each in comparison.differences),
        *(f"note: {each}" for each in comparison.notes),
    ]
