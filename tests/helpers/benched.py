"""A benchmark record that was made up, any part of it replaced."""

from dataclasses import replace
from typing import Any

from mrnn_edge_cli.bench.conditions import Conditions
from mrnn_edge_cli.bench.hardware import Machine
from mrnn_edge_cli.bench.record import BenchRecord, Percentiles, Setting

MACHINE = Machine(
    cpu="Some CPU",
    features=("AVX2", "FMA"),
    board="",
    cores=4,
    system="Linux x86_64",
    release="6.1",
)
SETTING = Setting(
    machine=MACHINE,
    model="tiny-test",
    device="cpu",
    precision="float32",
    threads=2,
    beam=3,
    pictures="built-in picture, 600 x 400",
)
QUIET = Conditions(other_cores=0.01, steal_share=0.0, load_average=0.5, spread=1.1)
BUSY = Conditions(other_cores=1.2, steal_share=0.0, load_average=3.0, spread=1.1)


def times(p50: float) -> Percentiles:
    return Percentiles(p50=p50, p95=p50 * 1.1, p99=p50 * 1.2)


def record(**changes: Any) -> BenchRecord:
    """Stages of 2, 8, 4 and 15 ms; every argument replaces a field."""
    whole = BenchRecord(
        setting=SETTING,
        versions={"mrnn-edge": "0.1.0", "numpy": "2.0.0"},
        model_id="0123456789abcdef",
        affinity=(0, 1),
        runs=100,
        warm_up=20,
        words=10.0,
        stages_ms={
            "decode": times(2.0),
            "encode": times(8.0),
            "generate": times(4.0),
            "total": times(15.0),
        },
        step_ms=times(0.2),
        encoder_only_ms=times(8.0),
        array_ms=times(10.0),
        cold_start_ms=600.0,
        throughput_images_per_s=100.0,
        rss_mb=150.0,
        conditions=QUIET,
    )
    return replace(whole, **changes)
