"""Pictures a second of a bulk run, by pictures a call, calls at a time and pictures read at a time.

All three together, because they share the cores. The settings take turns, chunk by chunk, so that
what else the machine does falls on all; a captioner is open for each number of calls.
"""

import itertools
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from bulk import caption

from mrnn_edge import Captioner, __version__
from mrnn_edge.listing import list_files
from mrnn_edge.pipeline import MAX_AT_ONCE, Flow, flow_for

BATCHES = (1, 2, 4, 8, 16)
READERS = (1, 2, 4)
Setting = tuple[int, Flow]
"""Calls at a time, and the rest."""


def measure(captioners: dict[int, Captioner], files: list[str], chunk: int) -> dict[Setting, float]:
    """Pictures a second of each setting, over all chunks."""
    settings = [
        (calls, Flow(batch=batch, readers=readers))
        for calls, batch, readers in itertools.product(captioners, BATCHES, READERS)
    ]
    spent = dict.fromkeys(settings, 0.0)
    for calls, flow in settings:
        caption(captioners[calls], files[: 2 * flow.batch], flow)
    for at in range(0, len(files), chunk):
        for calls, flow in settings:
            spent[calls, flow] += caption(captioners[calls], files[at : at + chunk], flow)
    return {setting: len(files) / each for setting, each in spent.items()}


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures, different ones.")],
    pictures: Annotated[int, typer.Option("--pictures", min=1)] = 256,
    chunk: Annotated[int, typer.Option("--chunk", min=1)] = 64,
    model: Annotated[str | None, typer.Option("--model")] = None,
    precision: Annotated[str | None, typer.Option("--precision")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Time bulk runs over a grid, on the CPU."""
    listed = list_files([os.fspath(folder)], recursive=True)
    files = [each for each in listed if isinstance(each, str)][:pictures]

    def opened(calls: int) -> Captioner:
        return Captioner.load(
            model, device="cpu", precision=precision, threads=threads, concurrency=calls
        )

    alone = opened(1)
    in_use = min(MAX_AT_ONCE, alone.graphs.threads)
    captioners = {1: alone} | ({in_use: opened(in_use)} if in_use > 1 else {})
    rates = measure(captioners, files, chunk)
    if as_json:
        report = {
            "mrnn-edge": __version__,
            "model": alone.config.name,
            "precision": str(alone.precision),
            "threads": alone.graphs.threads,
            "pictures": len(files),
            "per_second": [
                {"calls": calls, "batch": flow.batch, "readers": flow.readers, "rate": rate}
                for (calls, flow), rate in rates.items()
            ],
        }
        typer.echo(json.dumps(report, indent=2))
        return
    used = flow_for(alone)
    typer.echo(
        f"{alone.config.name} {alone.precision}, {alone.graphs.threads} threads, {len(files)} "
        f"pictures; in use: {in_use} calls, batches of {used.batch}, {used.readers} readers"
    )
    typer.echo(f"{'calls':>5}{'batch':>7}" + "".join(f"{f'{each} read':>10}" for each in READERS))
    for calls, batch in itertools.product(captioners, BATCHES):
        row = (rates[calls, Flow(batch=batch, readers=readers)] for readers in READERS)
        typer.echo(f"{calls:5}{batch:7}" + "".join(f"{rate:10.1f}" for rate in row))


if __name__ == "__main__":
    typer.run(main)
