"""Scoring all sentences of a split for all its pictures, against the bare matrix products in it.

The floor multiplies matrices of the step graph's sizes, as often as the step's rows need, in numpy
and nothing else: no lookups, no tanh, no softmax's exponentials, no gathering of results.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer
from onnx import numpy_helper

from mrnn_edge import Captioner
from mrnn_edge.bundle import Bundle
from mrnn_edge.config import GraphRole, Precision
from mrnn_edge.decode import Floats
from mrnn_edge.score import cross_log_probs
from mrnn_edge_train.flickr8k import Split, read_split

ROWS = 512


def matrices(bundle: Bundle) -> list[Floats]:
    """What the step multiplies by, from its graph."""
    graph = onnx.load_from_string(bundle.graph(Precision.FLOAT32, GraphRole.STEP)).graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            weights = constants[node.input[1]]
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            found.append(np.ascontiguousarray(weights.T if transposed else weights))
    return found


def bare_products(weights: list[Floats], rows: int, threads: int) -> float:
    """Seconds of the products alone, `threads` at a time as the scoring does, and no more."""
    inputs = [np.random.default_rng(0).random((ROWS, len(each)), np.float32) for each in weights]

    def run(_: int) -> None:
        for given, each in zip(inputs, weights, strict=True):
            given @ each

    run(0)
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(rows // ROWS)))
    return time.perf_counter() - started


def count_beginnings(sentences: list[list[int]]) -> int:
    """Different beginnings of the sentences: each needs one row for each picture."""
    return len({tuple(each[:end]) for each in sentences for end in range(len(each) + 1)})


def main(
    data: Annotated[Path, typer.Option("--data", help="Data set laid out like Flickr8K.")],
    split: Annotated[Split, typer.Option("--split")] = Split.DEV,
    sentences: Annotated[int, typer.Option("--sentences", min=1, help="So many of them.")] = 500,
    model: Annotated[str | None, typer.Option("--model")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
) -> None:
    """Time the scoring and its floor. Set OPENBLAS_NUM_THREADS=1: the threads are ours."""
    captioner = Captioner.load(model, device="cpu", precision=Precision.FLOAT32, threads=threads)
    images = read_split(data, split)
    vectors = np.stack([captioner.encode(image.path) for image in images])
    encode = captioner.bundle.vocabulary.encode
    # In alphabetical order and next to each other, as the evaluation takes them.
    every = sorted(encode(words) for image in images for words in image.sentences)
    some = every[:sentences]
    rows = count_beginnings(some) * len(vectors)
    weights = matrices(captioner.bundle)
    products = sum(each.size for each in weights)
    floor = bare_products(weights, rows, threads)
    started = time.perf_counter()
    cross_log_probs(captioner.graphs.step, vectors, some, captioner.space, threads=threads)
    scored = time.perf_counter() - started
    whole = count_beginnings(every) * len(vectors)
    report = {
        "model": captioner.config.name,
        "threads": threads,
        "pictures": len(vectors),
        "sentences": len(some),
        "tflop": 2e-12 * rows * products,
        "seconds": scored,
        "bare_products_seconds": floor,
        "ratio": scored / floor,
        "whole_split": {"sentences": len(every), "tflop": 2e-12 * whole * products},
    }
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
