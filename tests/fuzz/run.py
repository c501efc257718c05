"""The long run of the fuzzing: many cases, several processes, each case against the clock.

    export PYTHONPATH=tests:tests/helpers
    python -m fuzz.run pictures --cases 200000 --workers 2 --out /tmp/fuzz
    python -m fuzz.run bundles --cases 20000

A case is its number: the same number is the same bytes. A case that raises anything outside our
tree, that outlasts the limit or that ends its process is a finding; its input is saved under
`--out`, the run goes on, and the exit code is 1.
"""

import argparse
import faulthandler
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random

import tiny
from fuzz.mutations import mutated_bundle, mutated_picture
from fuzz.targets import fuzz_bundle, fuzz_image

_PIECE = 500
"""Cases that a process is given at a time."""


@dataclass
class Tally:
    """What came of the cases."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak_mb: float = 0.0


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("pictures", "bundles"))
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=30.0, help="wall seconds for a case")
    parser.add_argument("--memory", type=int, default=6, help="GiB of address space for a process")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    tally = run(options)
    spent = time.monotonic() - start
    cases = sum(tally.outcomes.values())
    say(f"{cases} {options.what} in {spent:.0f} s, slowest {tally.slowest:.2f} s, ")
    say(f"peak resident {tally.peak_mb:.0f} MB\n")
    for outcome, count in tally.outcomes.most_common():
        say(f"{count:9} {outcome}\n")
    say(f"{len(tally.findings)} findings\n" + "".join(f"  {each}\n" for each in tally.findings))
    return 1 if tally.findings else 0


def run(options: argparse.Namespace) -> Tally:
    """Hand out the cases to the processes and watch the clock of each."""
    tally = Tally()
    end = options.first + options.cases
    pieces = [
        range(begin, min(begin + _PIECE, end)) for begin in range(options.first, end, _PIECE)
    ][::-1]
    watched: dict[Connection, Worker] = {}
    while pieces or watched:
        while pieces and len(watched) < options.workers:
            worker = Worker(options, pieces.pop())
            watched[worker.reports] = worker
        for reports in wait(list(watched), timeout=0.2):
            if not watched[reports].listen(tally):
                watched.pop(reports)
        for reports, worker in list(watched.items()):
            if worker.broken or worker.late(options.limit):
                watched.pop(reports)
                code = worker.process.exitcode
                why = f"process ended with {code}" if worker.broken else "hang"
                pieces.append(worker.give_up(tally, why))
    return tally


class Worker:
    """A process that runs a piece, as the parent sees it."""

    def __init__(self, options: argparse.Namespace, cases: range) -> None:
        self.options, self.cases, self.case = options, cases, cases.start
        self.since = time.monotonic() + 60.0  # starting up takes what it takes
        self.broken = False
        context = multiprocessing.get_context("spawn")
        self.reports, sender = context.Pipe(duplex=False)
        arguments = (options.what, cases, sender, options.memory, options.out)
        self.process = context.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        sender.close()

    def listen(self, tally: Tally) -> bool:
        """Take one report; False when the piece is done."""
        try:
            kind, *rest = self.reports.recv()
        except EOFError:
            self.process.join()
            self.broken = True
            return True
        if kind == "case":
            (self.case,) = rest
            self.since = time.monotonic()
        elif kind == "outcome":
            outcome, spent = rest
            tally.outcomes[outcome] += 1
            tally.slowest = max(tally.slowest, spent)
        elif kind == "finding":
            tally.outcomes["FINDING"] += 1
            self.record(tally, rest[0])
        else:
            tally.peak_mb = max(tally.peak_mb, rest[0])
            self.process.join()
            return False
        return True

    def late(self, limit: float) -> bool:
        return time.monotonic() - self.since > limit

    def give_up(self, tally: Tally, why: str) -> range:
        """Record the case that did it; returns those after it, which are still to be run."""
        self.process.kill()
        self.process.join()
        tally.outcomes["FINDING"] += 1
        self.record(tally, why)
        return range(self.case + 1, self.cases.stop)

    def record(self, tally: Tally, why: str) -> None:
        saved = self.options.out / f"{self.options.what}-{self.case}"
        if self.options.what == "pictures":
            saved.write_bytes(mutated_picture(Random(self.case)))
        else:
            tiny.write(saved, mutated_bundle(Random(self.case)))
        tally.findings.append(f"{saved}: {why}")
        say(f"{saved}: {why}\n")


def work(what: str, cases: range, reports: Connection, memory: int, out: Path) -> None:
    """In the process: run each case, report its beginning and its outcome."""
    resource.setrlimit(resource.RLIMIT_AS, (memory << 30, memory << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    with (out / f"fault-{os.getpid()}.txt").open("w+") as faults:
        faulthandler.enable(faults)
        with open(os.devnull, "w") as nothing:  # codecs and the runtime write there from C
            os.dup2(nothing.fileno(), 2)
        with tempfile.TemporaryDirectory(dir=out) as folder:
            for case in cases:
                reports.send(("case", case))
                start = time.monotonic()
                try:
                    outcome = run_case(what, case, Path(folder))
                except BaseException as error:
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    at = f"{Path(where.filename).name}:{where.lineno}"
                    reports.send(("finding", f"{type(error).__name__}: {str(error)[:200]} ({at})"))
                else:
                    reports.send(("outcome", outcome, time.monotonic() - start))
        faulthandler.disable()
        empty = faults.tell() == 0
    if empty:
        Path(faults.name).unlink()
    reports.send(("end", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0))


def run_case(what: str, case: int, folder: Path) -> str:
    """The outcome of one case."""
    random = Random(case)
    if what == "pictures":
        return fuzz_image(mutated_picture(random))
    for old in folder.iterdir():
        old.unlink()
    return fuzz_bundle(tiny.write(folder, mutated_bundle(random)))


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
