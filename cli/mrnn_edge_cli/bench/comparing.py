"""Two records: whether they are of the same thing, and what has become worse.

A figure is judged by its median alone: p95 and p99 of a hundred rounds say more of what else the
machine did.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple

from mrnn_edge.errors import BenchRecordError, OptionError
from mrnn_edge_cli.bench.record import STAGES, BenchRecord, Setting

_PERCENTAGE: Final = re.compile(r"(\d{1,4}(?:\.\d{1,6})?) ?%")
_ROUNDING: Final = 1e-9
"""A figure exactly at the tolerance is within it, whatever the last bit of the product is."""


class _Figure(NamedTuple):
    """One number of a record, and what a change of it means."""

    name: str
    of: Callable[[BenchRecord], float | None]
    judged: bool = True
    more_is_better: bool = False


def _stage(name: str) -> _Figure:
    return _Figure(f"{name} p50, ms", lambda record: record.stages_ms[name].p50)


_FIGURES: Final = (
    *map(_stage, STAGES),
    _Figure("step p50, ms", lambda record: record.step_ms.p50),
    _Figure("encoder alone p50, ms", lambda record: record.encoder_only_ms.p50),
    _Figure("greedy from array p50, ms", lambda record: record.array_ms.p50),
    _Figure(
        "throughput, images/s", lambda record: record.throughput_images_per_s, more_is_better=True
    ),
    _Figure("total p95, ms", lambda record: record.stages_ms["total"].p95, judged=False),
    _Figure("total p99, ms", lambda record: record.stages_ms["total"].p99, judged=False),
    _Figure("overhead ratio", lambda record: record.overhead_ratio, judged=False),
    _Figure("cold start, ms", lambda record: record.cold_start_ms, judged=False),
    _Figure("peak memory, MB", lambda record: record.rss_mb, judged=False),
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One figure in both records."""

    name: str
    old: float
    new: float
    judged: bool
    """Whether it can be a regression; the others are only shown."""
    regression: bool

    @property
    def change(self) -> float:
        """new / old - 1; infinite where the old one is 0, 0 where both are."""
        if self.old == 0:
            return 0.0 if self.new == 0 else float("inf")
        return self.new / self.old - 1.0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison of two records."""

    tolerance: float
    """0.1 is 10 %."""
    differences: tuple[str, ...]
    """How the two settings differ, which --compare-anyway accepts."""
    notes: tuple[str, ...]
    """What may explain a change: other versions, a busy machine."""
    figures: tuple[Verdict, ...]

    @property
    def regressions(self) -> list[str]:
        """The figures that are worse by more than the tolerance."""
        return [figure.name for figure in self.figures if figure.regression]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "regressions": self.regressions}


def parse_tolerance(text: str) -> float:
    """`10%` as 0.1. Raises OptionError for anything but a percentage."""
    found = _PERCENTAGE.fullmatch(text.strip())
    if not found:
        raise OptionError(f"tolerance is {text!r}, expected a percentage such as 10%")
    return float(found.group(1)) / 100.0


def differences(old: Setting, new: Setting) -> list[str]:
    """In what two settings differ, so that their times are of two things."""
    pairs = [
        (f"machine.{name}", getattr(old.machine, name), getattr(new.machine, name))
        for name in ("cpu", "cores", "system")
    ]
    names = [field.name for field in fields(Setting) if field.name != "machine"]
    pairs += [(name, getattr(old, name), getattr(new, name)) for name in names]
    return [f"{name} was {was}, is {now}" for name, was, now in pairs if was != now]


def refuse_unlike(old: Setting, new: Setting) -> None:
    """Raise BenchRecordError unless the two are of the same thing."""
    if found := differences(old, new):
        raise BenchRecordError(
            f"the records cannot be compared: {'; '.join(found)}. Measure the old state "
            "again under these conditions, or add --compare-anyway"
        )


def compare(old: BenchRecord, new: BenchRecord, *, tolerance: float) -> Comparison:
    """Both records figure by figure; a judged one worse by more than the tolerance is a regression.

    A time is worse where it is above old * (1 + tolerance), a rate where it is below
    old / (1 + tolerance): ten per cent more time per picture in both cases. A figure that
    only one record has is left out.
    """
    verdicts = []
    for figure in _FIGURES:
        was, now = figure.of(old), figure.of(new)
        if was is None or now is None:
            continue
        worse, better = (was, now) if figure.more_is_better else (now, was)
        regression = figure.judged and worse > better * (1.0 + tolerance) * (1.0 + _ROUNDING)
        verdicts.append(
            Verdict(name=figure.name, old=was, new=now, judged=figure.judged, regression=regression)
        )
    return Comparison(
        tolerance=tolerance,
        differences=tuple(differences(old.setting, new.setting)),
        notes=tuple(_notes(old, new)),
        figures=tuple(verdicts),
    )


def _notes(old: BenchRecord, new: BenchRecord) -> list[str]:
    found = []
    for name in sorted(old.versions.keys() | new.versions.keys()):
        was, now = old.versions.get(name, "absent"), new.versions.get(name, "absent")
        if was != now:
            found.append(f"{name} was {was}, is {now}")
    if old.model_id != new.model_id:
        found.append(f"the model's id was {old.model_id}, is {new.model_id}")
    if old.words != new.words:
        found.append(f"words a caption were {old.words:g}, are {new.words:g}")
    for when, record in (("then", old), ("now", new)):
        if record.conditions.busy:
            found.append(f"the machine was busy {when}: {', '.join(record.conditions.reasons())}")
    return found
