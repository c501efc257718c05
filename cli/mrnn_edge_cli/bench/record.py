"""The record of a run and its JSON form, read back strictly."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from mrnn_edge.bundle.config import read_record as read_strictly
from mrnn_edge.errors import BenchRecordError
from mrnn_edge_cli.bench.conditions import Conditions
from mrnn_edge_cli.bench.hardware import Machine

FORMAT: Final = 1
"""The version of this form; a record of another one is not compared."""
STAGES: Final = ("decode", "encode", "generate", "total")
_MOST_BYTES: Final = 1 << 20
"""A record is some 2 kB."""
_MAY_BE_ZERO: Final = ("words", "rss_mb", "other_cores", "steal_share", "load_average")


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Of single runs, in milliseconds, with linear interpolation between two runs."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Percentiles":
        """Of at least one time in milliseconds."""
        p50, p95, p99 = (float(each) for each in np.percentile(samples, (50, 95, 99)))
        return cls(p50=p50, p95=p95, p99=p99)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What was measured, and on what. Two records are of the same thing where this is equal."""

    machine: Machine
    model: str
    device: str
    """`cpu` or `cuda:0`."""
    precision: str
    threads: int
    beam: int
    pictures: str


@dataclass(frozen=True, kw_only=True)
class BenchRecord:
    """One run. Times are in milliseconds of wall time, sizes in MB of 10^6 bytes."""

    setting: Setting
    versions: Mapping[str, str]
    model_id: str
    affinity: tuple[int, ...] | None
    """The cores that it was pinned to; None if unknown."""
    runs: int
    """Rounds that count; each holds one of everything that has percentiles."""
    warm_up: int
    """Captions before them, which do not count."""
    words: float
    """Words per caption, the mean of the pictures."""
    stages_ms: Mapping[str, Percentiles]
    """decode, encode and generate of one caption with the beam, from a file's bytes; `total` is
    the whole call, the making of the record included."""
    step_ms: Percentiles
    """One call of the step graph with one row per hypothesis."""
    encoder_only_ms: Percentiles
    """The encoder graph alone, one picture."""
    array_ms: Percentiles
    """A warm caption: uint8 array of the model's size in, greedy sentence out, confidence too."""
    cold_start_ms: float
    """The command from its start to its end with one picture, the median of several."""
    throughput_images_per_s: float
    """Many files at a time, as `mrnn-edge caption` does them."""
    rss_mb: float | None
    """The highest resident memory of the command with one picture."""
    conditions: Conditions

    def __post_init__(self) -> None:
        for stage in STAGES:
            if stage not in self.stages_ms:
                raise ValueError(f"stages_ms has no {stage}")

    @property
    def overhead_ratio(self) -> float:
        """The median warm caption over the median of the encoder alone."""
        return self.array_ms.p50 / self.encoder_only_ms.p50

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        data = asdict(self, dict_factory=_with_lists)
        return {
            "format": FORMAT,
            **data.pop("setting"),
            **data,
            "overhead_ratio": self.overhead_ratio,
            "conditions": self.conditions.to_dict(),
        }


def read_record(path: Path) -> BenchRecord:
    """The record in a file that `mrnn-edge bench --json` wrote.

    Raises BenchRecordError for a file that is missing, damaged, of another format or none of ours.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BenchRecordError(f"{path} cannot be read ({error}); check the path") from None
    if len(data) > _MOST_BYTES:
        raise BenchRecordError(f"{path} has more than {_MOST_BYTES:,} bytes; it is no record")
    try:
        return record_from_dict(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise BenchRecordError(
            f"{path} is no record of `mrnn-edge bench --json` ({error}); measure again"
        ) from None


def record_from_dict(parsed: Any) -> BenchRecord:
    """The record of its JSON form; unknown keys are skipped. Raises ValueError."""
    found = parsed.get("format") if isinstance(parsed, dict) else None
    if found != FORMAT or isinstance(found, bool):
        raise ValueError(f"its format is {found!r}, expected {FORMAT}")
    data = {**_known(BenchRecord, parsed), "setting": _known(Setting, parsed)}
    if isinstance(data.get("conditions"), dict):
        data["conditions"] = _known(Conditions, data["conditions"])
    record = read_strictly(BenchRecord, data, ValueError)
    _check_numbers("", data)
    return record


def _with_lists(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: list(each) if isinstance(each, tuple) else each for name, each in pairs}


def _known(kind: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: data[field.name] for field in fields(kind) if field.name in data}


def _check_numbers(name: str, data: Any) -> None:
    """Raise ValueError for a number that is infinite, negative, or 0 where it must not be."""
    if isinstance(data, dict):
        for key, value in data.items():
            _check_numbers(key, value)
    # JSON may hold NaN, infinity, exponents that are read as infinity, and endless integers.
    elif isinstance(data, int | float) and not (
        0 < data < 1e300 or (data == 0 and name in _MAY_BE_ZERO)
    ):
        raise ValueError(f"{name} is {repr(data)[:40]}, expected a finite number above 0")
