"""A benchmark record as text, for the terminal and the page alike."""

from mrnn_edge_cli.bench.comparing import Comparison
from mrnn_edge_cli.bench.record import BenchRecord, Percentiles


def circumstances(record: BenchRecord) -> dict[str, str]:
    """What was measured, where and with which versions, by name."""
    setting, machine = record.setting, record.setting.machine
    features = "" if not machine.features else f" ({', '.join(machine.features)})"
    where = "" if not machine.board else f"{machine.board}, "
    kept = "" if record.affinity is None else f", on cores {', '.join(map(str, record.affinity))}"
    return {
        "model": f"{setting.model} ({record.model_id}), {setting.precision} on {setting.device}",
        "machine": f"{where}{machine.cpu}{features}, {machine.cores} cores to use, "
        f"{machine.system}, {machine.release}",
        "versions": ", ".join(f"{name} {each}" for name, each in record.versions.items()),
        "threads": f"{setting.threads}{kept}",
        "pictures": f"{setting.pictures}; {record.words:.4g} words a caption, beam {setting.beam}",
        "rounds": f"{record.runs}, after a warm-up of {record.warm_up} captions",
    }


def quiet(record: BenchRecord) -> str:
    """What else the machine did, in one line."""
    seen = record.conditions
    if seen.busy:
        return f"BUSY: {'; '.join(seen.reasons())}"
    if seen.other_cores is None or seen.steal_share is None:
        return f"unknown on this system; p95 is {seen.spread:.2f} times p50"
    return (
        f"quiet: others took {seen.other_cores:.2f} cores, the hypervisor "
        f"{seen.steal_share:.1%} of the time; p95 is {seen.spread:.2f} times p50"
    )


def timed(record: BenchRecord) -> list[tuple[str, Percentiles]]:
    """What has percentiles, by name."""
    beam = record.setting.beam
    return [
        ("decode the file", record.stages_ms["decode"]),
        ("encode", record.stages_ms["encode"]),
        ("generate, confidence included", record.stages_ms["generate"]),
        ("total, file to caption", record.stages_ms["total"]),
        (f"one step of {beam} {'hypothesis' if beam == 1 else 'hypotheses'}", record.step_ms),
        ("encoder alone", record.encoder_only_ms),
        ("greedy caption of an array", record.array_ms),
    ]


def singles(record: BenchRecord) -> list[tuple[str, str]]:
    """What is one number, by name, with its unit."""
    memory = "unknown on this system" if record.rss_mb is None else f"{record.rss_mb:.0f} MB"
    return [
        ("overhead ratio", f"{record.overhead_ratio:.3f}  (caption of an array / encoder alone)"),
        ("cold start", f"{record.cold_start_ms:.0f} ms  (the command with one picture)"),
        ("throughput", f"{record.throughput_images_per_s:.1f} images/s  (many files)"),
        ("peak memory", f"{memory}  (the command with one picture)"),
    ]


def compared(comparison: Comparison) -> list[tuple[str, str, str, str, str]]:
    """The figures of two records: name, old, new, change and verdict."""
    return [
        (
            each.name,
            f"{each.old:.2f}",
            f"{each.new:.2f}",
            f"{each.change:+.1%}",
            "WORSE" if each.regression else "" if each.judged else "not judged",
        )
        for each in comparison.figures
    ]
