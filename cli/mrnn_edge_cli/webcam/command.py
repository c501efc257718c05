"""`mrnn-edge webcam`: captions of a camera, a stream or a video, each time the scene changes."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrnn_edge.errors import CameraError, OptionError, TruncatedVideoError
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import Loading, LoadOptions, load
from mrnn_edge_cli.output import say, say_nothing
from mrnn_edge_cli.stopping import stoppable

if TYPE_CHECKING:
    from mrnn_edge.camera.frames import FrameSource, Notice
    from mrnn_edge.camera.scene import CaptionEvent, WatchOptions
    from mrnn_edge.camera.watch import Watch
    from mrnn_edge_cli.webcam.sinks import Sink
    from mrnn_edge_cli.webcam.window import Window, WindowLostError

SOURCE = "Source"


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where frames come from and which are captioned, as the command line names them."""

    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="0, /dev/video2, a file, a folder, a URL.")
    ] = "0"
    interval: Annotated[
        float, opt.under(SOURCE, "--interval", metavar="SECONDS", help="Time between two looks.")
    ] = 0.5
    change_threshold: Annotated[
        float, opt.under(SOURCE, "--change-threshold", help="Change of the image vector, 0..2.")
    ] = 0.15
    deadline_ms: Annotated[
        float | None, opt.under(SOURCE, "--deadline-ms", help="Narrow the beam to meet this time.")
    ] = None
    every: Annotated[
        int, opt.under(SOURCE, "--every", min=1, metavar="N", help="Use each N-th frame of a file.")
    ] = 1
    fps: Annotated[
        float | None, opt.under(SOURCE, "--fps", help="Use this many frames per second of a file.")
    ] = None
    stall_timeout: Annotated[
        float,
        opt.under(SOURCE, "--stall-timeout", help="Seconds without a frame before reconnecting."),
    ] = 5.0
    reconnect_for: Annotated[
        float,
        opt.under(SOURCE, "--reconnect-for", help="Seconds without a frame before giving up."),
    ] = 60.0


@dataclass(frozen=True, kw_only=True)
class _Outputs:
    """The outputs, as the command line names them."""

    headless: Annotated[
        bool, opt.under(opt.OUTPUT, "--headless", help="No window: one line per caption.")
    ] = False
    ndjson: opt.Ndjson = False
    explain: opt.Explain = False
    record: Annotated[
        Path | None,
        opt.path_option("--record", help="Record the window as a video, .mp4.", panel=opt.OUTPUT),
    ] = None
    log: Annotated[
        Path | None,
        opt.path_option("--log", help="Write the records to a file too.", panel=opt.OUTPUT),
    ] = None
    resume: Annotated[
        bool, opt.under(opt.OUTPUT, "--resume", help="Append to an existing --log.")
    ] = False
    srt: Annotated[
        Path | None, opt.path_option("--srt", help="Write subtitles of a file.", panel=opt.OUTPUT)
    ] = None
    vtt: Annotated[
        Path | None,
        opt.path_option("--vtt", help="Write WebVTT subtitles of a file.", panel=opt.OUTPUT),
    ] = None
    speak_cmd: Annotated[
        str | None,
        opt.under(
            opt.OUTPUT, "--speak-cmd", metavar="CMD", help="Run CMD with each caption on its stdin."
        ),
    ] = None
    force: opt.Force = False


def webcam(
    source: Annotated[_Source, opt.Group(_Source)],
    outputs: Annotated[_Outputs, opt.Group(_Outputs)],
    decoding: opt.Decoding,
    loading: Loading,
) -> None:
    """Describe what a camera, a stream or a video shows, each time it changes.

    In a window (keys: q quit, space pause, s snapshot, m mirror), or headless one line per caption:
    TIME<TAB>caption. A live source that is lost is reconnected; the exit code is 6 if that fails,
    or if it never opened. Ctrl-C, SIGTERM and SIGHUP complete the files.
    """
    from mrnn_edge.camera.scene import WatchOptions

    options = WatchOptions(
        interval_s=source.interval,
        change_threshold=source.change_threshold,
        deadline_ms=source.deadline_ms,
        decode=decoding,
    )
    _check(outputs, source.source, loading.model)
    notice = say_nothing if loading.quiet else say
    _watch(_open(source, notice), options, loading, outputs, notice)


def _check(outputs: _Outputs, source: str, model: str | None) -> None:
    """Raise OptionError for outputs that are not possible, before one is opened and emptied."""
    from mrnn_edge.camera.source import source_files
    from mrnn_edge_cli.outputs import check_outputs, model_files
    from mrnn_edge_cli.webcam.recording import check_name
    from mrnn_edge_cli.webcam.speech import split_command

    if outputs.resume and outputs.log is None:
        raise OptionError("--resume appends to a log; name it with --log")
    check_outputs(
        {
            "--srt": outputs.srt,
            "--vtt": outputs.vtt,
            "--log": outputs.log,
            "--record": outputs.record,
        },
        sources=[*source_files(source), *model_files(model)],
        force=outputs.force,
        resumed=("--log",) if outputs.resume else (),
        resumable=("--log",),
    )
    if outputs.record is not None:
        check_name(outputs.record)
    if outputs.speak_cmd is not None:
        split_command(outputs.speak_cmd)


def _open(source: _Source, notice: "Notice") -> "FrameSource":
    from mrnn_edge.camera.frames import ReconnectPolicy, Selection
    from mrnn_edge.camera.source import open_source

    policy = ReconnectPolicy(
        open_s=min(ReconnectPolicy.open_s, source.reconnect_for),
        stall_s=source.stall_timeout,
        budget_s=source.reconnect_for,
    )
    selection = Selection(every=source.every, fps=source.fps)
    return open_source(source.source, selection=selection, policy=policy, notice=notice)


def _watch(
    frames: "FrameSource",
    options: "WatchOptions",
    loading: LoadOptions,
    outputs: _Outputs,
    notice: "Notice",
) -> None:
    """Caption the source until it ends or a signal comes."""
    from mrnn_edge.camera.watch import Watch
    from mrnn_edge_cli.webcam.recording import Recording

    with contextlib.ExitStack() as stack:
        stack.callback(frames.close)
        captioner = load(loading)
        scene = captioner.scene(options, source=frames.name)
        watching = Watch(scene, interval_s=options.interval_s, notice=notice)
        window = None if outputs.headless else _window(notice)
        # Everything opened from here on is closed before a signal ends the process.
        stop = stack.enter_context(stoppable())
        sinks = _Sinks(stack, outputs, notice)
        sinks.open(frames, watching, lines=window is None)
        recording = None
        if outputs.record is not None:
            recording = Recording(frames, outputs.record, notice=notice, force=outputs.force)
            stack.callback(recording.close)
        if window is not None:
            stack.callback(window.close)
        if window is None and recording is None:
            events = _headless(frames, watching, stop)
        else:
            from mrnn_edge_cli.webcam.view import View

            events = View(
                frames,
                watching,
                device=str(captioner.device),
                explain=outputs.explain,
                window=window,
                recording=recording,
                window_lost=sinks.window_lost,
                stop=stop,
            ).events()
        sinks.run(events, frames.name)
    if stop.exit_code is not None:
        raise typer.Exit(stop.exit_code)
    if sinks.failed or (recording is not None and recording.failed):
        raise typer.Exit(ExitCode.INTERNAL)


class _Sinks:
    """The outputs that take captions; `stack` closes them."""

    def __init__(self, stack: contextlib.ExitStack, outputs: _Outputs, notice: "Notice") -> None:
        self._stack = stack
        self._outputs = outputs
        self._notice = notice
        self._sinks: list[Sink] = []
        self._last: CaptionEvent | None = None

    @property
    def failed(self) -> bool:
        """Whether one of them failed."""
        return any(sink.failed for sink in self._sinks)

    def open(self, frames: "FrameSource", watching: "Watch", *, lines: bool) -> None:
        """Open all that were requested; with `lines` captions go to standard output."""
        from mrnn_edge_cli.webcam.sinks import Lines, Log, Records, SubtitleFormat, Subtitles
        from mrnn_edge_cli.webcam.speech import Speech

        outputs = self._outputs
        if frames.live and (outputs.srt or outputs.vtt):
            raise OptionError(
                "--srt and --vtt are for files; --log keeps the captions of a live source"
            )

        def end_s() -> float:
            return watching.latest_s + (1.0 / frames.rate if frames.rate else 0.0)

        for path, kind in ((outputs.srt, SubtitleFormat.SRT), (outputs.vtt, SubtitleFormat.VTT)):
            if path is not None:
                self._add(Subtitles(path, kind, force=outputs.force, end_s=end_s))
        if outputs.ndjson:
            self._add(Records())
        elif lines:
            self._add(Lines(explain=outputs.explain))
        if outputs.log is not None:
            self._add(Log(outputs.log, append=outputs.resume, force=outputs.force))
        if outputs.speak_cmd is not None:
            self._add(Speech(outputs.speak_cmd))

    def window_lost(self, error: "WindowLostError") -> None:
        """Print captions as lines from now on, first the one that the window showed."""
        from mrnn_edge_cli.webcam.sinks import Lines

        self._notice(f"the window was lost ({error}); captions are printed as lines")
        if self._outputs.ndjson:
            return
        lines = Lines(explain=self._outputs.explain)
        self._add(lines)
        if self._last is not None:
            lines.event(self._last)

    def run(self, events: "Iterator[CaptionEvent]", source: str) -> None:
        """Pass every caption to every sink, and the error that ends them."""
        try:
            for event in events:
                self._last = event
                for sink in self._sinks:
                    sink.event(event)
        except (CameraError, TruncatedVideoError) as error:
            for sink in self._sinks:
                sink.error(source, error)
            raise

    def _add(self, sink: "Sink") -> None:
        self._sinks.append(sink)
        self._stack.callback(sink.close)


def _headless(
    frames: "FrameSource", watching: "Watch", stop: Callable[[], bool]
) -> "Iterator[CaptionEvent]":
    """The captions of a source until it ends or `stop()` is true; then it is closed."""
    from mrnn_edge.camera.watch import TICK_S

    until_stopped = itertools.takewhile(lambda _: not stop(), frames.frames(tick=TICK_S))
    try:
        yield from watching.captions(until_stopped)
    finally:
        frames.close()


def _window(notice: "Notice") -> "Window | None":
    """A window, or None where none can be opened, with a notice that says why."""
    from mrnn_edge_cli.webcam.window import Window, why_no_window

    reason = why_no_window()
    if reason is None:
        return Window()
    notice(f"no window ({reason}); captions are printed as lines")
    return None
