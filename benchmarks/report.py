"""Records of `mrnn-edge bench` and `peers.py` as a plot and as the table of the README.

    report.py             draws docs/figures/speed.png
    report.py --readme    writes the README's table too, between its two markers

The records lie in docs/figures: bench.json, and peers.json where peers were measured. No figure of
the README's table is typed: a test writes the table again from the records and compares.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mrnn_edge.files import write_whole
from mrnn_edge_cli.bench.record import BenchRecord, read_record
from mrnn_edge_cli.bench.summary import timed

ROOT: Final = Path(__file__).resolve().parent.parent
BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"


def read_peers(folder: Path) -> dict[str, Any] | None:
    """The report of peers.py in the folder, None where they were not measured."""
    found = folder / "peers.json"
    parsed: dict[str, Any] | None = json.loads(found.read_bytes()) if found.is_file() else None
    return parsed


def readme_table(record: BenchRecord, peers: dict[str, Any] | None) -> str:
    """The README's lines between the markers, for people who look for one number."""
    setting, versions = record.setting, record.versions
    runtime = versions.get("onnxruntime") or versions["onnxruntime-gpu"]
    features = f" with {', '.join(setting.machine.features)}" if setting.machine.features else ""
    lines = [
        f"`{setting.model}`, {setting.precision}, {setting.threads} threads on "
        f"{setting.machine.cores} cores of an {setting.machine.cpu}{features}, ONNX Runtime "
        f"{runtime}; {setting.pictures}, beam {setting.beam}, {record.runs} rounds:",
        "",
        "| milliseconds | p50 | p95 | p99 |",
        "| --- | --- | --- | --- |",
    ]
    for name, each in timed(record):
        lines.append(f"| {name} | {each.p50:.3g} | {each.p95:.3g} | {each.p99:.3g} |")
    memory = "" if record.rss_mb is None else f", and {record.rss_mb:.0f} MB of memory at most"
    lines += [
        "",
        f"A greedy caption of an array takes {record.overhead_ratio:.2f} times what the encoder "
        "alone does,",
        f"many files {record.throughput_images_per_s:.0f} images a second, the command with one "
        f"picture {record.cold_start_ms:.0f} ms{memory}.",
    ]
    if record.conditions.busy:
        lines += ["", f"**Measured on a busy machine** ({'; '.join(record.conditions.reasons())})."]
    if peers is not None:
        lines += ["", *_peer_lines(peers)]
    return "\n".join(lines)


def _peer_lines(peers: dict[str, Any]) -> list[str]:
    ours = peers["ours_ms"]
    lines = [
        f"Others in one run with ours, in float32 on the same {peers['threads']} threads, from "
        f"pixels to {peers['tokens']} tokens (transformers {peers['versions']['transformers']}, "
        f"torch {peers['versions']['torch']}); ours writes {peers['words']['default']} words:",
        "",
        "| | greedy, ms | as it is by default, ms | times ours |",
        "| --- | --- | --- | --- |",
        f"| {peers['model']}, {peers['precision']} | {ours['array_greedy']['p50']:.1f} | "
        f"{ours['array_default']['p50']:.1f} (beam 3) | 1 |",
    ]
    for peer in peers["peers"]:
        lines.append(
            f"| {peer['name']}, {peer['parameters'] / 1e6:.0f} M parameters | "
            f"{peer['greedy_ms']['p50']:.0f} | {peer['default_ms']['p50']:.0f} "
            f"({_decoding(peer['beam'])}) | {peer['ratio']:.0f} |"
        )
    if peers["conditions"]["busy"]:
        lines += ["", "**The machine was busy during this run.**"]
    return lines


def _decoding(beam: int) -> str:
    return "greedy" if beam == 1 else f"beam {beam}"


def with_table(readme: str, lines: str) -> str:
    """The README with these lines between its markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"the README lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{lines}\n{END}{after}"


def plot(record: BenchRecord, peers: dict[str, Any] | None, path: Path) -> None:
    """Stages on the left; a caption of each model on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, 2 if peers else 1, figsize=(11 if peers else 6, 3.4), squeeze=False, layout="constrained"
    )
    left = axes[0, 0]
    names = [name for name, _ in timed(record)][::-1]
    times = [each for _, each in timed(record)][::-1]
    reach = [each.p95 - each.p50 for each in times]
    left.barh(names, [each.p50 for each in times], xerr=[[0.0] * len(reach), reach], capsize=2)
    left.set_xlabel("milliseconds, p50 and p95")
    left.set_title(f"{record.setting.model}, {record.setting.precision}")
    if peers:
        right = axes[0, 1]
        bars = {f"mrnn-edge, {_decoding(3)}": peers["ours_ms"]["array_default"]["p50"]}
        for peer in peers["peers"]:
            bars[f"{peer['name']}, {_decoding(peer['beam'])}"] = peer["default_ms"]["p50"]
        right.barh([*bars][::-1], [*bars.values()][::-1])
        right.bar_label(right.containers[0], fmt="{:,.1f} ms", padding=3)
        right.set_xlim(0, max(bars.values()) * 1.4)  # room for the labels
        right.set_xlabel("milliseconds a caption at the defaults, p50")
        right.set_title("beside others")
    figure.suptitle(
        f"{record.setting.machine.cpu}, {record.setting.machine.cores} cores, "
        f"{record.setting.threads} threads"
    )
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def main(
    folder: Annotated[Path, typer.Option("--folder", help="Where the records lie.")] = (
        ROOT / "docs" / "figures"
    ),
    readme: Annotated[bool, typer.Option("--readme", help="Write the README's table.")] = False,
) -> None:
    """Draw the plot; write the README's table where it is asked for."""
    record = read_record(folder / "bench.json")
    peers = read_peers(folder)
    plot(record, peers, folder / "speed.png")
    if readme:
        path = ROOT / "README.md"
        text = with_table(path.read_text(encoding="utf-8"), readme_table(record, peers))
        write_whole(path, text.encode())


if __name__ == "__main__":
    typer.run(main)
