"""Captions of many files to where they belong: standard output, a file, sidecars, a page.

Takes an open captioner, the files and the places; writes an entry a file as it comes, counts, and
says at the end how it went. A signal stops it between two batches (stopping.py).
"""

import errno
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mrnn_edge.errors import InputError, NumericalError, SidecarError
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.formats import Format, LineFormat
from mrnn_edge_cli.output import Progress, one_line, say, write
from mrnn_edge_cli.output_file import Existing, open_output
from mrnn_edge_cli.stopping import stoppable

if TYPE_CHECKING:
    from mrnn_edge import Captioner
    from mrnn_edge.config import DecodeOptions
    from mrnn_edge.image import Picture
    from mrnn_edge.listing import Listed
    from mrnn_edge.records import Outcome
    from mrnn_edge.sidecar import SidecarKind

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where outcomes go."""

    form: Format
    output: Path | None
    """None: standard output."""
    existing: Existing
    html: Path | None
    sidecars: Sequence["SidecarKind"]
    replace_sidecars: bool


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read, and when to stop."""

    files: Sequence["Listed"]
    standard_input: bytes
    first: "Picture | InputError | None"
    """The first of them, if it was read while the model was being opened."""
    allow_truncated: bool
    fail_fast: bool


@dataclass
class _Tally:
    """How a run goes."""

    captioned: int = 0
    failed: int = 0
    sidecars_left: int = 0

    @property
    def total(self) -> int:
        return self.captioned + self.failed


def caption_all(
    captioner: "Captioner",
    reading: Reading,
    wishes: "DecodeOptions",
    places: Places,
    *,
    quiet: bool,
) -> int:
    """Caption the files with a model that was not checked yet; the exit code.

    Raises OptionError for wishes and places that cannot be, before a file is touched; BundleError
    for a model whose weights are not finite.
    """
    from mrnn_edge.pipeline import caption_files

    captioner.caption_batch([], wishes)  # refuses wishes while nothing is written yet
    # Whether the model's weights are sound a grey picture tells, once a run: before the first of
    # many pictures. One that is read already shows it as well, and sooner; then the grey one is
    # asked where its numbers are not finite, which may be its own fault.
    checked = reading.first is None
    if checked:
        captioner.check()
    tally = _Tally()
    with ExitStack() as stack:
        page = None
        if places.html is not None:
            from mrnn_edge_cli.page import Page

            page = stack.enter_context(Page.at(places.html))
        settings = _settings(captioner, reading, wishes, places)
        put, done, failed_before = _destination(stack, places, settings, reading.files)
        stop = stack.enter_context(stoppable())
        outcomes = stack.enter_context(
            closing(
                caption_files(
                    captioner,
                    reading.files,
                    wishes,
                    done=done,
                    standard_input=reading.standard_input,
                    first=reading.first,
                    allow_truncated=reading.allow_truncated,
                    stop=stop,
                )
            )
        )
        wanted = len(reading.files) - len(done)
        start = time.monotonic()
        # Lines that scroll by on the same terminal show how far it is, and would tear a bar.
        hidden = quiet or (places.output is None and _is_terminal())
        for outcome in Progress(quiet=hidden)(outcomes, "caption", wanted):
            if isinstance(outcome.result, NumericalError) and not checked:
                captioner.check()
            _count(outcome, tally)
            _write_sidecars(outcome, places, tally)
            if page is not None:
                page.add(outcome)
            if (entry := places.form.entry(outcome)) is not None:
                put(entry)
            if reading.fail_fast and (tally.failed or tally.sidecars_left):
                break
        if (foot := places.form.foot()) is not None:
            put(foot)
    if not quiet and len(reading.files) > 1:
        say(_summary(tally, wanted, len(done), time.monotonic() - start))
    if stop.exit_code is not None and tally.total < wanted:
        return stop.exit_code
    if tally.failed or tally.sidecars_left or failed_before:
        return ExitCode.SOME_FAILED
    return ExitCode.DONE


def _destination(
    stack: ExitStack, places: Places, settings: dict[str, Any], files: Sequence["Listed"]
) -> tuple[Callable[[str], None], set[int], int]:
    """Where entries are put, the places of the files whose entries are there, and their errors."""
    form = places.form
    if places.output is None:
        if (head := form.head()) is not None:
            write(head)
        return write, set(), 0
    opened = open_output(places.output, existing=places.existing, form=form, run=settings)
    output = stack.enter_context(opened)
    done = _done(files, output.written, form) if isinstance(form, LineFormat) else set()
    return output.write, done, output.failed


def _done(files: Sequence["Listed"], written: Counter[str], form: LineFormat) -> set[int]:
    """The places of files that were written; one that is listed twice was perhaps written once."""
    left = written.copy()
    done = set()
    for place, listed in enumerate(files):
        key = form.key(listed if isinstance(listed, str) else listed.file)
        if left[key] > 0:
            left[key] -= 1
            done.add(place)
    return done


def _count(outcome: "Outcome", tally: _Tally) -> None:
    if outcome.failure is None:
        tally.captioned += 1
    else:
        tally.failed += 1
        say(one_line(outcome.failure))


def _write_sidecars(outcome: "Outcome", places: Places, tally: _Tally) -> None:
    """Before the picture's entry: where that stands, --resume does not come back to the picture."""
    if not places.sidecars:
        return
    from mrnn_edge.sidecar import write_sidecar

    caption = outcome.result
    if isinstance(caption, InputError) or caption.text is None:
        return
    for kind in places.sidecars:
        try:
            write_sidecar(outcome.file, caption.text, kind, force=places.replace_sidecars)
        except (SidecarError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise
            tally.sidecars_left += 1
            say(one_line(f"{outcome.file}: no {kind} sidecar: {error}"))


def _summary(tally: _Tally, wanted: int, done: int, seconds: float) -> str:
    parts = [f"{tally.captioned:,} of {wanted:,} pictures captioned"]
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    if tally.sidecars_left:
        parts.append(f"{tally.sidecars_left:,} sidecars not written")
    if tally.total < wanted:
        parts.append(f"{wanted - tally.total:,} left")
    if done:
        parts.append(f"{done:,} were there already")
    rate = f" ({tally.total / seconds:,.1f} a second)" if tally.total and seconds > 0.0 else ""
    return f"{', '.join(parts)}, {seconds:,.1f} s{rate}"


def _settings(
    captioner: "Captioner", reading: Reading, wishes: "DecodeOptions", places: Places
) -> dict[str, Any]:
    """What two runs must have in common for one to go on with the other's output."""
    return {
        "format": 1,
        "output": places.form.description,
        "sidecars": [str(kind) for kind in places.sidecars],
        "model": captioner.config.name,
        "bundle_id": captioner.config.id,
        "precision": str(captioner.precision),
        "allow_truncated": reading.allow_truncated,
        "decoding": asdict(wishes),
    }


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()
