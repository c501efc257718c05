"""The record of a run and its JSON form, read back strictly.

Knows names, types and ranges; knows neither how anything was measured nor what is compared.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mrnn_edge.errors import BenchRecordError
from mrnn_edge_cli.bench.conditions import Conditions
from mrnn_edge_cli.bench.figures import Percentiles
from mrnn_edge_cli.bench.machine import Machine

FORMAT: Final = 1
"""The version of this form; a record of another one is not compared."""
STAGES: Final = ("decode", "encode", "generate", "total")
_MOST_BYTES: Final = 1 << 20
"""A record is some 2 kB."""


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
    """The cores that it was kept to; None if the system does not say."""
    runs: int
    """Rounds that count; each holds one of everything that has percentiles."""
    warm_up: int
    """Captions before them, which do not."""
    words: float
    """Words of a caption, the mean of the pictures."""
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

    @property
    def overhead_ratio(self) -> float:
        """The median warm caption over the median of the encoder alone."""
        return self.array_ms.p50 / self.encoder_only_ms.p50

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        setting = self.setting
        return {
            "format": FORMAT,
            "machine": setting.machine.to_dict(),
            "versions": dict(self.versions),
            "model": setting.model,
            "model_id": self.model_id,
            "device": setting.device,
            "precision": setting.precision,
            "threads": setting.threads,
            "affinity": None if self.affinity is None else list(self.affinity),
            "beam": setting.beam,
            "pictures": setting.pictures,
            "runs": self.runs,
            "warm_up": self.warm_up,
            "words": self.words,
            "stages_ms": {stage: self.stages_ms[stage].to_dict() for stage in STAGES},
            "step_ms": self.step_ms.to_dict(),
            "encoder_only_ms": self.encoder_only_ms.to_dict(),
            "array_ms": self.array_ms.to_dict(),
            "overhead_ratio": self.overhead_ratio,
            "cold_start_ms": self.cold_start_ms,
            "throughput_images_per_s": self.throughput_images_per_s,
            "rss_mb": self.rss_mb,
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
        parsed = json.loads(data)  # NaN and the like are refused where they stand for a number
        return record_from_dict(parsed)
    except (ValueError, RecursionError) as error:
        raise BenchRecordError(
            f"{path} is no record of `mrnn-edge bench --json` ({error}); measure again"
        ) from None


def record_from_dict(parsed: Any) -> BenchRecord:
    """The record of its JSON form; keys beyond it are passed over. Raises ValueError."""
    top = _Object(parsed, "the record")
    if (found := top.get("format")) != FORMAT or isinstance(found, bool):
        raise ValueError(f"its format is {found!r}, expected {FORMAT}")
    stages = top.object("stages_ms")
    return BenchRecord(
        setting=Setting(
            machine=_machine(top.object("machine")),
            model=top.text("model"),
            device=top.text("device"),
            precision=top.text("precision"),
            threads=top.count("threads"),
            beam=top.count("beam"),
            pictures=top.text("pictures"),
        ),
        versions=top.texts("versions"),
        model_id=top.text("model_id"),
        affinity=top.counts("affinity"),
        runs=top.count("runs"),
        warm_up=top.count("warm_up"),
        words=top.number("words"),
        stages_ms={stage: _percentiles(stages.object(stage)) for stage in STAGES},
        step_ms=_percentiles(top.object("step_ms")),
        encoder_only_ms=_percentiles(top.object("encoder_only_ms")),
        array_ms=_percentiles(top.object("array_ms")),
        cold_start_ms=top.positive("cold_start_ms"),
        throughput_images_per_s=top.positive("throughput_images_per_s"),
        rss_mb=top.optional("rss_mb"),
        conditions=_conditions(top.object("conditions")),
    )


def _machine(found: "_Object") -> Machine:
    features = found.get("features")
    if features is not None and not (
        isinstance(features, list) and all(isinstance(each, str) for each in features)
    ):
        raise ValueError(f"machine.features is {features!r}, expected a list of names or null")
    return Machine(
        cpu=found.text("cpu"),
        features=None if features is None else tuple(features),
        board=found.text("board"),
        cores=found.count("cores"),
        system=found.text("system"),
        release=found.text("release"),
    )


def _percentiles(found: "_Object") -> Percentiles:
    return Percentiles(
        p50=found.positive("p50"), p95=found.positive("p95"), p99=found.positive("p99")
    )


def _conditions(found: "_Object") -> Conditions:
    return Conditions(
        other_cores=found.optional("other_cores"),
        steal_share=found.optional("steal_share"),
        load_average=found.optional("load_average"),
        spread=found.positive("spread"),
    )


class _Object:
    """A JSON object, its values asked for by type; every ValueError says which was wrong."""

    def __init__(self, parsed: Any, name: str) -> None:
        if not isinstance(parsed, dict):
            raise ValueError(f"{name} is {_shown(parsed)}, expected an object")
        self._parsed, self._name = parsed, name

    def get(self, key: str) -> Any:
        if key not in self._parsed:
            raise ValueError(f"{self._name} has no {key}")
        return self._parsed[key]

    def object(self, key: str) -> "_Object":
        return _Object(self.get(key), key)

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def texts(self, key: str) -> dict[str, str]:
        inner = self.object(key)
        return {name: inner.text(name) for name in inner._parsed}

    def count(self, key: str) -> int:
        value = self.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(key, value, "a whole number from 1")
        return value

    def counts(self, key: str) -> tuple[int, ...] | None:
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(each) is int for each in value):
            raise self._wrong(key, value, "a list of whole numbers or null")
        return tuple(value)

    def number(self, key: str) -> float:
        value = self.get(key)
        # An exponent too large is infinity without a word; an integer too large is no float.
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > 1e300:
            raise self._wrong(key, value, "a finite number")
        if not math.isfinite(value) or value < 0:
            raise self._wrong(key, value, "a finite number from 0")
        return float(value)

    def positive(self, key: str) -> float:
        value = self.number(key)
        if value == 0:
            raise self._wrong(key, value, "a number above 0")
        return value

    def optional(self, key: str) -> float | None:
        return None if self.get(key) is None else self.number(key)

    def _wrong(self, key: str, value: Any, expected: str) -> ValueError:
        return ValueError(f"{self._name}.{key} is {_shown(value)}, expected {expected}")


def _shown(value: Any) -> str:
    return repr(value)[:40]
