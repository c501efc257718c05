"""A greedy caption by the loop inside the graph against the one by the loop in Python.

Image vectors in, words and the evidence for them out, without the encoder. The two take turns, and
have to say the same words. What opening the graph costs, in time and in memory, is told beside it:
it is what a process pays once, at its third greedy search.
"""

import dataclasses
import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mrnn_edge import Captioner
from mrnn_edge.bench.peak import peak_bytes
from mrnn_edge.config import DecodeOptions
from mrnn_edge.listing import list_files


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures, different ones.")],
    pictures: Annotated[int, typer.Option("--pictures", min=1)] = 50,
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 20,
    model: Annotated[str | None, typer.Option("--model")] = None,
    precision: Annotated[str | None, typer.Option("--precision")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
) -> None:
    """Time both loops, confidence included."""
    captioner = Captioner.load(model, device="cpu", precision=precision, threads=threads)
    fused = captioner.captions
    plain = dataclasses.replace(fused, greedy=None)
    listed = list_files([os.fspath(folder)], recursive=True)
    files = [each for each in listed if isinstance(each, str)][:pictures]
    vectors = [captioner.encode(file)[None] for file in files]
    before = peak_bytes()
    start = time.perf_counter()
    if fused.greedy is None or not fused.greedy.ready():
        raise SystemExit("the graph cannot be opened")
    opening = (time.perf_counter() - start) * 1000.0
    after = peak_bytes()
    options = DecodeOptions(beam=1)
    wishes = fused.constraints(options)
    spent: dict[str, list[float]] = {"Python": [], "graph": []}
    furthest = 0.0
    for vector in vectors * rounds:
        found = []
        for name, captions in (("Python", plain), ("graph", fused)):
            start = time.perf_counter()
            (decoded,) = captions.decode(vector, options, wishes)
            spent[name].append((time.perf_counter() - start) * 1000.0)
            found.append(decoded)
        (one,), (other,) = (each.hypotheses for each in found)
        if (one.tokens, one.ended) != (other.tokens, other.ended):
            raise SystemExit("the two loops give different words")
        apart = np.abs(np.subtract(one.log_probs, other.log_probs)).max()
        furthest = max(furthest, float(apart))
    python, inside = (float(np.median(each)) for each in spent.values())
    typer.echo(
        f"{captioner.config.name} {captioner.precision}, {captioner.graphs.threads} threads, "
        f"{len(files)} pictures, {rounds} rounds, greedy"
    )
    typer.echo(f"loop in Python      {python:8.3f} ms")
    typer.echo(f"loop in the graph   {inside:8.3f} ms, {1 - inside / python:.1%} less")
    typer.echo(f"opening the graph   {opening:8.1f} ms")
    if isinstance(before, int) and isinstance(after, int):
        typer.echo(f"peak memory         {before / 1e6:8.0f} MB before, {after / 1e6:.0f} after")
    typer.echo(f"the same words; log-probabilities at most {furthest:.1g} apart")


if __name__ == "__main__":
    typer.run(main)
