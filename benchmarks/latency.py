"""Latency of one caption on this machine, by stage: percentiles, ratios to the encoder."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from mrnn_edge import Captioner, __version__

WARM_UP = 10
PERCENTILES = (50, 95, 99)


def measure(
    captioner: Captioner, picture: bytes, *, runs: int, beam: int
) -> dict[str, list[float]]:
    """Milliseconds of each stage in each run."""
    for _ in range(WARM_UP):
        captioner.caption(picture, beam=beam)
    stages: dict[str, list[float]] = {}
    for _ in range(runs):
        for stage, spent in captioner.caption(picture, beam=beam).timing_ms.items():
            stages.setdefault(stage, []).append(spent)
    return stages


def summarise(stages: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Percentiles of each stage, and its median as a ratio to the encoder's."""
    encoder = float(np.median(stages["encode"]))
    return {
        stage: {
            **{f"p{p}_ms": float(np.percentile(spent, p)) for p in PERCENTILES},
            "ratio_to_encoder": float(np.median(spent)) / encoder,
        }
        for stage, spent in stages.items()
    }


def main(
    picture: Annotated[Path, typer.Argument(help="A picture.")],
    runs: Annotated[int, typer.Option("--runs", min=1)] = 200,
    beam: Annotated[int, typer.Option("--beam", min=1)] = 3,
    model: Annotated[str | None, typer.Option("--model")] = None,
    device: Annotated[str, typer.Option("--device")] = "cpu",
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Time single captions."""
    captioner = Captioner.load(model, device=device, threads=threads)
    stages = measure(captioner, picture.read_bytes(), runs=runs, beam=beam)
    summary = summarise(stages)
    report: dict[str, Any] = {
        "mrnn-edge": __version__,
        "model": captioner.config.name,
        "device": str(captioner.device),
        "precision": str(captioner.precision),
        "threads": threads,
        "beam": beam,
        "runs": runs,
        "stages": summary,
    }
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    typer.echo(
        f"{report['model']} {report['precision']} on {report['device']}, beam {beam}, {runs} runs"
    )
    typer.echo(f"{'stage':10}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}{'x encoder':>12}")
    for stage, figures in summary.items():
        shown = "".join(f"{figures[f'p{p}_ms']:10.2f}" for p in PERCENTILES)
        typer.echo(f"{stage:10}{shown}{figures['ratio_to_encoder']:12.2f}")


if __name__ == "__main__":
    typer.run(main)
