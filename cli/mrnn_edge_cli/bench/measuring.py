"""The rounds of a benchmark and their record.

Takes an open captioner and pictures in memory, returns a BenchRecord. Everything that has
percentiles is measured once per round, in an order that turns from round to round, so that other
work of the machine and the task before affect all of them alike.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from mrnn_edge.bulk.run import batch_size, calls_at_once, caption_files
from mrnn_edge.captioner import Captioner
from mrnn_edge.engine.device import DeviceKind
from mrnn_edge.options import DecodeOptions
from mrnn_edge_cli.bench.conditions import LoadWatch
from mrnn_edge_cli.bench.hardware import Machine
from mrnn_edge_cli.bench.picture import Pictures
from mrnn_edge_cli.bench.processes import cold_start_ms, peak_mb
from mrnn_edge_cli.bench.record import STAGES, BenchRecord, Percentiles, Setting
from mrnn_edge_cli.doctor.packages import installed_versions

_WARM_UP: Final = 30
"""Captions before any counts: after some twenty their times are steady."""
_BATCHES: Final = 16
"""Batches at least of a bulk run."""
_BULK_RUNS: Final = 3
"""Bulk runs, of which the median counts: one alone is at the mercy of a moment."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How much is measured."""

    runs: int = 100
    """Rounds that count."""
    decoding: DecodeOptions
    """The options of every caption except the greedy one."""
    command: tuple[str, ...]
    """The command whose start is measured: a module and its arguments, as after `python -m`; the
    path of a picture is added."""
    starts: int = 5
    """Starts that count."""


def measure(
    captioner: Captioner,
    pictures: Pictures,
    options: BenchOptions,
    *,
    setting: Setting,
    affinity: tuple[int, ...] | None,
) -> BenchRecord:
    """Measure a captioner on these pictures, and the command in processes of its own.

    `setting` and `affinity` are what the record says of where it ran. Raises an InputError for a
    picture that cannot be read, MrnnEdgeError if the command fails, and what captions raise.
    """
    rounds = _Rounds(captioner, pictures, options.decoding)
    watch = LoadWatch()
    with tempfile.TemporaryDirectory(prefix="mrnn-edge-bench-") as folder:
        files = _write(Path(folder), pictures)
        command = (*options.command, files[0])
        cold = cold_start_ms(command, times=options.starts)
        memory = peak_mb(command)
        throughput = _throughput(captioner, files, options)
    rounds.warm_up(_WARM_UP)
    times = rounds.run(options.runs)
    figures = {name: Percentiles.of(spent) for name, spent in times.items()}
    # Captions of several pictures differ in length; the encoder does the same for each.
    same_work = figures["total" if len(pictures.files) == 1 else "encoder"]
    return BenchRecord(
        setting=setting,
        versions=installed_versions(),
        model_id=captioner.config.id,
        affinity=affinity,
        runs=options.runs,
        warm_up=_WARM_UP,
        words=rounds.words,
        stages_ms={stage: figures[stage] for stage in STAGES},
        step_ms=figures["step"],
        encoder_only_ms=figures["encoder"],
        array_ms=figures["array"],
        cold_start_ms=cold,
        throughput_images_per_s=throughput,
        rss_mb=memory,
        conditions=watch.conditions(spread=same_work.p95 / same_work.p50),
    )


def setting_of(captioner: Captioner, pictures: Pictures, beam: int, machine: Machine) -> Setting:
    """What a record of this run is a record of; known before anything is measured."""
    return Setting(
        machine=machine,
        model=captioner.config.name,
        device=str(captioner.device),
        precision=str(captioner.precision),
        threads=captioner.graphs.threads,
        beam=beam,
        pictures=pictures.name,
    )


class _Rounds:
    """One of everything per round, the pictures in turn."""

    def __init__(self, captioner: Captioner, pictures: Pictures, options: DecodeOptions) -> None:
        """Reads every picture once. Raises an InputError for one that cannot be read."""
        self._captioner = captioner
        self._files = pictures.files
        self._options = options
        self._pixels = [captioner.read(data).pixels for data in pictures.files]
        captions = [captioner.caption(data, beam=options.beam) for data in pictures.files]
        self.words = sum(len(caption.words) for caption in captions) / len(captions)
        vector = captioner.graphs.encoder(self._pixels[0][None])
        self._vectors = np.repeat(vector, options.width, axis=0)
        self._tokens = np.full(options.width, captioner.space.start, np.int64)
        self._states = np.zeros((options.width, captioner.space.state), np.float32)
        self._turn = 0
        self._times: dict[str, list[float]] = {}

    def run(self, rounds: int) -> dict[str, list[float]]:
        """Milliseconds of each thing in each of so many rounds."""
        self._times = {}
        tasks = [self._caption, self._encode, self._caption_array, self._step]
        for number in range(rounds):
            self._turn += 1
            first = number % len(tasks)
            for task in (*tasks[first:], *tasks[:first]):
                task()
        return self._times

    def warm_up(self, captions: int) -> None:
        """Caption that often, uncounted."""
        for self._turn in range(captions):
            self._caption_bytes()

    def _caption(self) -> None:
        stages: dict[str, float] = {}
        spent = _milliseconds(lambda: stages.update(self._caption_bytes()))
        # Not the sum of the stages: what lies between them is part of a caption too.
        for stage, time_ms in {**stages, "total": spent}.items():
            self._times.setdefault(stage, []).append(time_ms)

    def _caption_bytes(self) -> dict[str, float]:
        data = self._files[self._turn % len(self._files)]
        return self._captioner.caption(data, beam=self._options.beam).timing_ms

    def _encode(self) -> None:
        pixels = self._pixels[self._turn % len(self._pixels)]
        self._time("encoder", lambda: self._captioner.graphs.encoder(pixels[None]))

    def _caption_array(self) -> None:
        pixels = self._pixels[self._turn % len(self._pixels)]
        self._time("array", lambda: self._captioner.caption(pixels, beam=1))

    def _step(self) -> None:
        step = self._captioner.graphs.step
        self._time("step", lambda: step(self._tokens, self._states, self._vectors))

    def _time(self, name: str, task: Callable[[], object]) -> None:
        self._times.setdefault(name, []).append(_milliseconds(task))


def _milliseconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return (time.perf_counter() - start) * 1000.0


def _write(folder: Path, pictures: Pictures) -> list[str]:
    """The pictures as files; their content decides the format, not the suffix."""
    files = []
    for number, data in enumerate(pictures.files):
        path = folder / f"{number}.jpg"
        path.write_bytes(data)
        files.append(os.fspath(path))
    return files


def _throughput(captioner: Captioner, files: Sequence[str], options: BenchOptions) -> float:
    """Pictures a second of a bulk run on all threads, the model open."""
    size = batch_size(captioner)
    count = max(options.runs, _BATCHES * size)
    many = [files[place % len(files)] for place in range(count)]
    on_cpu = captioner.device.kind is DeviceKind.CPU
    bulk = Captioner.load(
        captioner.bundle.folder,
        device=str(captioner.device),
        precision=captioner.precision,
        threads=captioner.graphs.threads if on_cpu else None,
        concurrency=calls_at_once(count),
    )

    def run(listed: Sequence[str]) -> float:
        start = time.perf_counter()
        for outcome in caption_files(bulk, listed, options.decoding):
            if isinstance(outcome.result, Exception):
                raise outcome.result
        return time.perf_counter() - start

    run(many[: 4 * size])
    return count / median(run(many) for _ in range(_BULK_RUNS))
