"""Captions of many files, written one by one to standard output, a file, sidecars and a page.

A signal stops the run between two batches (stopping.py).
"""

import errno
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mrnn_edge.errors import InputError, NumericalError, SidecarError
from mrnn_edge_cli.caption.output_file import Existing, is_settings, open_output, settings_path
from mrnn_edge_cli.caption.output_formats import Format, LineFormat
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.output import Progress, is_terminal, one_line, say, write
from mrnn_edge_cli.stopping import stoppable

if TYPE_CHECKING:
    from mrnn_edge import Captioner
    from mrnn_edge.bulk.listing import Listed
    from mrnn_edge.image.read import Picture
    from mrnn_edge.language.records import Outcome
    from mrnn_edge.options import DecodeOptions
    from mrnn_edge_cli.caption.sidecar import SidecarKind

_SETTINGS: Final = "the settings of --output"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class Places:
    """The outputs of a run."""

    form: Format
    output: Path | None
    """None: standard output."""
    existing: Existing
    html: Path | None
    sidecars: Sequence["SidecarKind"]
    replace_sidecars: bool
    read: Sequence[str]
    """The files that the run reads: pictures, the list of them, the model."""

    def check(self) -> None:
        """Raise OptionError if an output would destroy a file (outputs.py)."""
        if self.output is None and self.html is None:
            return
        from mrnn_edge_cli.outputs import check_outputs, is_page

        settings = None
        if self.output is not None and (self.output.is_file() or not self.output.exists()):
            settings = settings_path(self.output)
        check_outputs(
            {"--output": self.output, _SETTINGS: settings, "--html": self.html},
            sources=self.read,
            force=self.existing is Existing.REPLACE,
            resumed=("--output",) if self.existing is Existing.RESUME else (),
            resumable=("--output",),
            refreshed={_SETTINGS: is_settings, "--html": is_page},
        )

    def protected(self) -> frozenset[object]:
        """Files that no sidecar may replace: the outputs, and with --force what the run reads."""
        if not self.sidecars:
            return frozenset()
        from mrnn_edge_cli.outputs import identities

        outputs = [path for path in (self.output, self.html) if path is not None]
        return frozenset(identities([*outputs, *(self.read if self.replace_sidecars else ())]))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The pictures to read, and when to stop."""

    files: Sequence["Listed"]
    left_out: Sequence[str]
    """Files in the folders that are no pictures of the user's (listing.py)."""
    standard_input: bytes
    first: "Picture | InputError | None"
    """The first picture, if it was read while the model was being opened."""
    allow_truncated: bool
    fail_fast: bool


@dataclass
class _Tally:
    """The counts of a run."""

    captioned: int = 0
    failed: int = 0
    sidecars_left: int = 0
    other_xmp: str | None = None
    """The first picture that has another program's XMP sidecar beside it."""

    @property
    def total(self) -> int:
        return self.captioned + self.failed


def caption_all(
    captioner: "Captioner",
    reading: Reading,
    decoding: "DecodeOptions",
    places: Places,
    *,
    quiet: bool,
) -> int:
    """Caption the files with a model that was not checked yet; the exit code.

    Raises OptionError for impossible options and places before it touches a file, and BundleError
    for a model whose weights are not finite.
    """
    from mrnn_edge.bulk.run import caption_files

    captioner.caption_batch([], decoding)  # checks the options before anything is written
    places.check()
    # A grey picture shows whether the model's weights are finite. The caption of a picture that is
    # read already shows the same, sooner; the grey one then follows only if that one fails.
    checked = reading.first is None
    if checked:
        captioner.check()
    tally = _Tally()
    with ExitStack() as stack:
        add_to_page = None
        if places.html is not None:
            from mrnn_edge_cli.caption.gallery import gallery

            add_to_page = stack.enter_context(gallery(places.html))
        settings = _settings(captioner, reading, decoding, places)
        put, done, failed_before = _destination(stack, places, settings, reading.files)
        protected = places.protected()  # after the output was opened, so that its file exists
        stop = stack.enter_context(stoppable())
        outcomes = stack.enter_context(
            closing(
                caption_files(
                    captioner,
                    reading.files,
                    decoding,
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
        # Captions that scroll by on the same terminal show the progress, and would break a bar.
        hidden = quiet or (places.output is None and is_terminal(sys.stdout))
        for outcome in Progress(quiet=hidden)(outcomes, "caption", wanted):
            if isinstance(outcome.result, NumericalError) and not checked:
                captioner.check()
            if outcome.failure is None:
                tally.captioned += 1
            else:
                tally.failed += 1
                say(one_line(outcome.failure))
            _write_sidecars(outcome, places, protected, tally)
            if add_to_page is not None:
                add_to_page(outcome)
            if (entry := places.form.entry(outcome)) is not None:
                put(entry)
            if reading.fail_fast and (tally.failed or tally.sidecars_left):
                break
        if (foot := places.form.foot()) is not None:
            put(foot)
    if not quiet:
        if tally.other_xmp is not None:
            name = one_line(os.path.splitext(os.path.basename(tally.other_xmp))[0])
            say(
                f"another program's {name}.xmp exists beside {one_line(tally.other_xmp)}: some "
                "programs now read only the new sidecar, and no longer show ratings of the old one"
            )
        if len(reading.files) > 1:
            seconds = time.monotonic() - start
            say(_summary(tally, wanted, len(done), reading.left_out, seconds))
    if stop.exit_code is not None and tally.total < wanted:
        return stop.exit_code
    if tally.failed or tally.sidecars_left or failed_before:
        return ExitCode.SOME_FAILED
    return ExitCode.DONE


def _destination(
    stack: ExitStack, places: Places, settings: dict[str, Any], files: Sequence["Listed"]
) -> tuple[Callable[[str], None], set[int], int]:
    """What writes an entry; the positions of files that have one; how many of those are errors."""
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
    """Positions of files that have an entry; one listed twice may have been written once."""
    left = written.copy()
    done = set()
    for place, listed in enumerate(files):
        key = form.key(listed if isinstance(listed, str) else listed.file)
        if left[key] > 0:
            left[key] -= 1
            done.add(place)
    return done


def _write_sidecars(
    outcome: "Outcome", places: Places, protected: frozenset[object], tally: _Tally
) -> None:
    """Called before the entry is written: once it is there, --resume skips the picture."""
    if not places.sidecars:
        return
    from mrnn_edge_cli.caption import sidecar
    from mrnn_edge_cli.outputs import identities

    caption = outcome.result
    if isinstance(caption, InputError) or caption.text is None:
        return
    for kind in places.sidecars:
        try:
            if not protected.isdisjoint(identities([sidecar.sidecar_path(outcome.file, kind)])):
                raise SidecarError(f"{outcome.file}{kind} is read or written by this run")
            sidecar.write_sidecar(outcome.file, caption.text, kind, force=places.replace_sidecars)
            if tally.other_xmp is None and kind is sidecar.SidecarKind.XMP:
                tally.other_xmp = outcome.file if sidecar.has_other_xmp(outcome.file) else None
        except (SidecarError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise
            tally.sidecars_left += 1
            say(one_line(f"{outcome.file}: no {kind} sidecar: {error}"))


def describe_left_out(left_out: Sequence[str]) -> str:
    """The number of files left out as debris, with an example."""
    return f"{len(left_out):,} left out as debris, such as {one_line(left_out[0])}"


def _summary(tally: _Tally, wanted: int, done: int, left_out: Sequence[str], seconds: float) -> str:
    counts = (
        (tally.failed, "failed"),
        (tally.sidecars_left, "sidecars not written"),
        (wanted - tally.total, "left"),
        (done, "had been written before"),
    )
    parts = [f"{tally.captioned:,} of {wanted:,} pictures captioned"]
    parts += [f"{count:,} {what}" for count, what in counts if count]
    if left_out:
        parts.append(describe_left_out(left_out))
    rate = f" ({tally.total / seconds:,.1f} a second)" if tally.total and seconds > 0.0 else ""
    return f"{', '.join(parts)}, {seconds:,.1f} s{rate}"


def _settings(
    captioner: "Captioner", reading: Reading, decoding: "DecodeOptions", places: Places
) -> dict[str, Any]:
    """What must be equal for a run to continue the output of another."""
    return {
        "format": 1,
        "output": places.form.description,
        "sidecars": [str(kind) for kind in places.sidecars],
        "model": captioner.config.name,
        "bundle_id": captioner.config.id,
        "precision": str(captioner.precision),
        "allow_truncated": reading.allow_truncated,
        "decoding": asdict(decoding),
    }
