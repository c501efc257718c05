"""`mrnn-edge webcam`: what a camera, a stream or a video shows, anew when it changes."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mrnn_edge.errors import CameraError, OptionError, TruncatedVideoError
from mrnn_edge.options import DecodeOptions
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.arguments import Argument, Exit, Option
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.options import to_sampling
from mrnn_edge_cli.output import say
from mrnn_edge_cli.stopping import stoppable

if TYPE_CHECKING:
    from mrnn_edge.camera.frames import FrameSource, Notice
    from mrnn_edge.camera.scene import CaptionEvent
    from mrnn_edge.camera.watch import Watch
    from mrnn_edge_cli.webcam.sinks import Sink
    from mrnn_edge_cli.webcam.window import Window, WindowLostError


def webcam(
    source: Annotated[
        str, Argument(metavar="SOURCE", help="0, /dev/video2, a file, a folder, a URL.")
    ] = "0",
    headless: Annotated[bool, Option("--headless", help="No window: a line a caption.")] = False,
    record: Annotated[
        Path | None,
        Option("--record", metavar="FILE", help="A video of what a window shows, .mp4."),
    ] = None,
    ndjson: Annotated[bool, Option("--ndjson", help="A JSON record a line on stdout.")] = False,
    log: Annotated[
        Path | None, Option("--log", metavar="FILE", help="The records to a file too.")
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Append to a --log that exists.")] = False,
    force: opt.Force = False,
    interval: Annotated[
        float, Option("--interval", metavar="SECONDS", help="From one look to the next.")
    ] = 0.5,
    change_threshold: Annotated[
        float,
        Option(
            "--change-threshold", help="Of the image vector, 0..2; below it nothing is decoded."
        ),
    ] = 0.15,
    explain: Annotated[
        bool, Option("--explain", help="Add the confidence, and each word's share of it.")
    ] = False,
    every: Annotated[
        int, Option("--every", min=1, metavar="N", help="Of a file, each N-th frame.")
    ] = 1,
    fps: Annotated[
        float | None, Option("--fps", help="Of a file, so many frames a second.")
    ] = None,
    srt: Annotated[
        Path | None, Option("--srt", metavar="FILE", help="Subtitles of a file.")
    ] = None,
    vtt: Annotated[
        Path | None, Option("--vtt", metavar="FILE", help="Subtitles of a file, WebVTT.")
    ] = None,
    speak_cmd: Annotated[
        str | None,
        Option("--speak-cmd", metavar="CMD", help="Run it with each caption as its input."),
    ] = None,
    deadline_ms: Annotated[
        float | None,
        Option("--deadline-ms", help="Narrow the beam so that a caption is out in time."),
    ] = None,
    stall_timeout: Annotated[
        float, Option("--stall-timeout", help="Seconds without a frame: open it anew.")
    ] = 5.0,
    reconnect_for: Annotated[
        float, Option("--reconnect-for", help="Seconds without a frame: give up.")
    ] = 60.0,
    beam: opt.Beam = None,
    nbest: Annotated[
        int, Option("--nbest", min=1, max=100, help="Sentences a record; widens the beam.")
    ] = DecodeOptions.nbest,
    sample: opt.Sample = False,
    temperature: opt.Temperature = None,
    top_k: opt.TopK = None,
    top_p: opt.TopP = None,
    seed: opt.Seed = None,
    max_words: opt.MaxWords = opt.MAX_WORDS,
    length_penalty: opt.LengthPenalty = None,
    prefix: opt.Prefix = "",
    no_repeat_ngram: opt.NoRepeatNgram = 0,
    forbid: opt.Forbid = None,
    require: opt.Require = None,
    min_confidence: opt.MinConfidence = None,
    model: opt.Model = None,
    device: opt.Device = "auto",
    precision: opt.PrecisionOption = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Describe what a camera, a stream or a video shows, anew when it changes.

    In a window (keys: q quit, space pause, s snapshot, m mirror), or without one a line a caption:
    TIME<TAB>caption. A live source that is lost is opened anew; exit code 6 if it stays away, or
    was never there. Ctrl-C, SIGTERM and SIGHUP finish the files.
    """
    from mrnn_edge.camera.frames import ReconnectPolicy, Selection
    from mrnn_edge.camera.scene import WatchOptions
    from mrnn_edge.camera.source import open_source, source_files
    from mrnn_edge.camera.watch import Watch
    from mrnn_edge_cli.outputs import check_outputs, model_files
    from mrnn_edge_cli.webcam.recording import Recording, check_name
    from mrnn_edge_cli.webcam.sinks import Lines, Log, Records, Standing
    from mrnn_edge_cli.webcam.speech import Speech, split_command
    from mrnn_edge_cli.webcam.text_file import Start, start_of

    wishes = WatchOptions(
        interval_s=interval,
        change_threshold=change_threshold,
        deadline_ms=deadline_ms,
        decode=DecodeOptions(
            beam=beam,
            nbest=nbest,
            sampling=to_sampling(
                sample, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
            ),
            max_words=max_words,
            length_penalty=length_penalty,
            prefix=prefix,
            no_repeat_ngram=no_repeat_ngram,
            forbid=tuple(forbid or ()),
            require=tuple(require or ()),
            min_confidence=min_confidence,
        ),
    )

    def notice(text: str) -> None:
        if not quiet:
            say(text)

    if resume and log is None:
        raise OptionError("--resume appends to a log; name it with --log")
    # Before an output is opened, which empties it.
    check_outputs(
        {"--srt": srt, "--vtt": vtt, "--log": log, "--record": record},
        sources=[*source_files(source), *model_files(model)],
        force=force,
        resumed=("--log",) if resume else (),
        resumable=("--log",),
    )
    if record is not None:
        check_name(record)
    if speak_cmd is not None:
        split_command(speak_cmd)
    with contextlib.ExitStack() as stack:
        frames = open_source(
            source,
            selection=Selection(every=every, fps=fps),
            policy=ReconnectPolicy(
                open_s=min(ReconnectPolicy.open_s, reconnect_for),
                stall_s=stall_timeout,
                budget_s=reconnect_for,
            ),
            notice=notice,
        )
        stack.callback(frames.close)
        captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
        scene = captioner.scene(wishes, source=frames.name)
        watching = Watch(scene, interval_s=interval, notice=notice)
        window = None if headless else _window(notice)
        # What is opened from here on is closed before a signal ends the process.
        stop = stack.enter_context(stoppable())
        standing = Standing()
        sinks: list[Sink] = [standing]

        def add(sink: "Sink") -> None:
            sinks.append(sink)
            stack.callback(sink.close)

        def window_lost(error: "WindowLostError") -> None:
            notice(f"no window any more ({error}); captions come as lines")
            if ndjson:
                return
            lines = Lines(explain=explain)
            add(lines)
            if standing.last is not None:
                lines.event(standing.last)  # the window showed it, and shows it no more

        for subtitles in _subtitles(frames, watching, srt=srt, vtt=vtt, force=force):
            add(subtitles)
        if ndjson:
            add(Records())
        elif window is None:
            add(Lines(explain=explain))
        if log is not None:
            add(Log(log, Start.APPEND if resume else start_of(log, force=force)))
        if speak_cmd is not None:
            add(Speech(speak_cmd))
        recording = None
        if record is not None:
            recording = Recording.of(frames, record, force=force, notice=notice)
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
                explain=explain,
                window=window,
                recording=recording,
                window_lost=window_lost,
                stop=stop,
            ).events()
        _run(events, sinks, frames.name)
    if stop.exit_code is not None:
        raise Exit(stop.exit_code)
    if any(sink.failed for sink in sinks) or (recording is not None and recording.failed):
        raise Exit(ExitCode.INTERNAL)


def _headless(
    frames: "FrameSource", watching: "Watch", stop: Callable[[], bool]
) -> "Iterator[CaptionEvent]":
    """The captions of a source until it ends or `stop()` is true; it is closed then."""
    from mrnn_edge.camera.watch import TICK_S

    until_stopped = itertools.takewhile(lambda _: not stop(), frames.frames(tick=TICK_S))
    try:
        yield from watching.captions(until_stopped)
    finally:
        frames.close()


def _run(events: "Iterator[CaptionEvent]", sinks: "list[Sink]", source: str) -> None:
    """Every caption to every sink, and the error that ends them."""
    try:
        for event in events:
            for sink in sinks:
                sink.event(event)
    except (CameraError, TruncatedVideoError) as error:
        for sink in sinks:
            sink.error(source, error)
        raise


def _window(notice: "Notice") -> "Window | None":
    """A window where one can be opened; None, and why, where not."""
    from mrnn_edge_cli.webcam.window import Window, why_no_window

    reason = why_no_window()
    if reason is None:
        return Window()
    notice(f"no window ({reason}); captions come as lines")
    return None


def _subtitles(
    frames: "FrameSource", watching: "Watch", *, srt: Path | None, vtt: Path | None, force: bool
) -> "Iterator[Sink]":
    """Each is opened as it is taken, so that it can be closed if the next cannot be opened."""
    from mrnn_edge_cli.webcam.subtitles import SubtitleFormat, Subtitles
    from mrnn_edge_cli.webcam.text_file import start_of

    wanted = [(srt, SubtitleFormat.SRT), (vtt, SubtitleFormat.VTT)]
    if frames.live and (srt or vtt):
        raise OptionError(
            "--srt and --vtt are for files; --log keeps the captions of a live source"
        )

    def end_s() -> float:
        return watching.latest_s + (1.0 / frames.rate if frames.rate else 0.0)

    for path, kind in wanted:
        if path is not None:
            yield Subtitles(path, kind, start_of(path, force=force), end_s=end_s)
