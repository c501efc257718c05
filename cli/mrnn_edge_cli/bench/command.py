"""`mrnn-edge bench`: how fast a model is on this machine, and whether it has become slower."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from mrnn_edge.errors import OptionError
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.arguments import Argument, Exit, Option
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.output import one_line, say, write, write_json

if TYPE_CHECKING:
    from mrnn_edge.bundle.config import Precision
    from mrnn_edge_cli.bench import BenchRecord, Comparison, Verdict

_TOLERANCE: Final = "10%"


def bench(
    picture: Annotated[
        str | None,
        Argument(
            metavar="PICTURE", help="A picture or a folder of them; a built-in one if left out."
        ),
    ] = None,
    runs: Annotated[int, Option("--runs", min=1, max=100_000, help="Rounds that count.")] = (100),
    beam: opt.Beam = None,
    json: opt.Json = False,
    html: Annotated[
        Path | None, Option("--html", metavar="FILE", help="Write a page of the figures too.")
    ] = None,
    compare: Annotated[
        Path | None,
        Option("--compare", metavar="OLD.json", help="A record of --json to compare with."),
    ] = None,
    tolerance: Annotated[
        str | None,
        Option(
            "--tolerance", metavar="PERCENT", help=f"How much worse is still equal; {_TOLERANCE}."
        ),
    ] = None,
    compare_anyway: Annotated[
        bool,
        Option("--compare-anyway", help="Compare records of two machines or models too."),
    ] = False,
    force: opt.Force = False,
    model: opt.Model = None,
    device: opt.Device = "auto",
    precision: opt.PrecisionOption = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Measure captions on this machine: stages, start-up, throughput, memory.

    Offline, in some 15 s at the defaults, during which nothing else should run. With --compare a
    median that is worse by more than the tolerance ends with exit code 7.
    """
    from mrnn_edge_cli import bench as benching
    from mrnn_edge_cli.bench.page import END, page
    from mrnn_edge_cli.outputs import check_outputs, is_page, model_files, open_page

    if compare is None and (compare_anyway or tolerance is not None):
        raise OptionError(
            "--tolerance and --compare-anyway go with --compare; name a record to compare"
        )
    read = [*model_files(model), *(path for path in (picture, compare) if path is not None)]
    check_outputs({"--html": html}, sources=read, force=force, refreshed={"--html": is_page})
    allowed = benching.parse_tolerance(tolerance or _TOLERANCE)
    old = None if compare is None else benching.read_record(compare)
    options = benching.BenchOptions(runs=runs, beam=beam)
    pictures = benching.built_in() if picture is None else benching.read_pictures(picture)
    machine = benching.Machine.here()
    # Opened before the work, so that a page that cannot be written is said before it.
    with open_page(html) if html else nullcontext() as file:
        with benching.kept_to(threads) as affinity:
            captioner = load(
                model, device=device, precision=precision, threads=threads, quiet=quiet
            )
            if old is not None and not compare_anyway:
                benching.refuse_unlike(
                    old.setting, benching.setting_of(captioner, pictures, options, machine)
                )
            if not quiet:
                say(f"measuring {runs} rounds and the command's start; leave the machine alone")
            module = _caption(model, device=device, precision=precision, threads=threads, beam=beam)
            record = benching.measure(
                captioner,
                pictures,
                options,
                benching.Starts(module=module),
                machine=machine,
                affinity=affinity,
            )
        comparison = None if old is None else benching.compare(old, record, tolerance=allowed)
        if file is not None:
            file.write(page(record, comparison).encode("utf-8", "backslashreplace"))
            file.end(END)
    _show(record, comparison, json=json)
    if not quiet:
        for reason in record.conditions.reasons():
            say(f"the machine was busy: {reason}; figures are worse than it can do")
    if comparison is not None and comparison.regressions:
        worse = ", ".join(each.name for each in comparison.regressions)
        doubt = "; measure again when it is quiet" if record.conditions.busy else ""
        say(f"worse by more than {allowed * 100:g}%: {worse}{doubt}")
        raise Exit(ExitCode.REGRESSION)


def _caption(
    model: str | None,
    *,
    device: str,
    precision: "Precision | None",
    threads: int | None,
    beam: int | None,
) -> tuple[str, ...]:
    """The command whose start is measured, without its picture."""
    wishes = {
        "--model": model,
        "--device": device,
        "--precision": precision,
        "--threads": threads,
        "--beam": beam,
    }
    given = [(name, str(value)) for name, value in wishes.items() if value is not None]
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
    from mrnn_edge_cli.bench.words import circumstances, quiet, singles, timed

    told = {**circumstances(record), "conditions": quiet(record)}
    lines = [
        *(f"{name:12}{said}" for name, said in told.items()),
        "",
        f"{'ms':40}{'p50':>9}{'p95':>9}{'p99':>9}",
    ]
    for name, each in timed(record):
        lines.append(f"{name:40}{each.p50:9.2f}{each.p95:9.2f}{each.p99:9.2f}")
    return [*lines, "", *(f"{name:40}{value}" for name, value in singles(record))]


def _compared(comparison: "Comparison") -> list[str]:
    lines = ["", f"{'beside the old record':40}{'old':>10}{'new':>10}{'change':>9}"]
    for verdict in comparison.verdicts:
        lines.append(
            f"{verdict.name:40}{verdict.old:10.2f}{verdict.new:10.2f}{verdict.change:+9.1%}"
            f"  {_said(verdict)}".rstrip()
        )
    lines += [f"not the same thing: {each}" for each in comparison.differences]
    return lines + [f"note: {each}" for each in comparison.notes]


def _said(verdict: "Verdict") -> str:
    if verdict.regression:
        return "WORSE"
    return "" if verdict.judged else "not judged"
