"""Search of many pictures against one matrix product, and what the short list loses.

Time: `--rows` image vectors drawn with the mean and covariance of a real index, mapped from a file;
a search (short list and exact ranking of it) against one pass of the float32 matrix product
vectors @ q. Recall: on the real index, the share of the exact `k` best that the short list holds.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rounds import in_turns

from mrnn_edge import Captioner, __version__
from mrnn_edge.arrays import Floats
from mrnn_edge.decode.cross import cross_log_probs
from mrnn_edge.index.file import IndexFile
from mrnn_edge.index.nearest import best_rows, query_vector, short_list
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.flickr8k import read_split

LENGTHS = (50, 100, 200, 300, 500)
_DRAWN = 50_000
"""Rows drawn at a time."""


def read_queries(data: Path, count: int) -> list[str]:
    """One sentence a dev picture, spread over the pictures and over the five of each."""
    pictures = read_split(data, Split.DEV)
    step = max(1, len(pictures) // count)
    chosen = pictures[::step][:count]
    return [" ".join(each.sentences[at % len(each.sentences)]) for at, each in enumerate(chosen)]


def draw(real: Floats, rows: int, file: Path) -> Floats:
    """[rows, M] with the mean and covariance of real vectors, mapped from a file."""
    mean = real.mean(axis=0, dtype=np.float64).astype(np.float32)
    covariance = np.cov(real.T) + 1e-6 * np.eye(real.shape[1])
    factor = np.linalg.cholesky(covariance).T.astype(np.float32)
    random = np.random.default_rng(1)
    with file.open("wb") as out:
        for start in range(0, rows, _DRAWN):
            shape = (min(_DRAWN, rows - start), real.shape[1])
            out.write((random.standard_normal(shape, np.float32) @ factor + mean).tobytes())
    return np.memmap(file, "<f4", "r", 0, (rows, real.shape[1])).view(np.ndarray)


def time_search(
    captioner: Captioner, vectors: Floats, mean: Floats, queries: list[list[int]], k: int
) -> dict[str, float]:
    """Medians in milliseconds over the queries, product and search in turns, and their ratio."""
    gradient, space = captioner.gradient, captioner.space
    step, threads = captioner.graphs.step, captioner.graphs.threads
    vectors @ mean  # reads the file
    spent = in_turns(
        {
            "product": lambda each: vectors @ each[1],
            "short_list": lambda each: short_list(
                gradient, vectors, mean, each[0], space, count=200
            ),
            "search": lambda each: best_rows(
                step, gradient, vectors, mean, each[0], space, k=k, threads=threads
            ),
        },
        [(query, query_vector(gradient, mean, query, space)) for query in queries],
    )
    medians = {f"{name}_ms": float(np.median(each)) for name, each in spent.items()}
    ratios = np.array(spent["search"]) / np.array(spent["product"])
    return {"rows": len(vectors), **medians, "ratio": float(np.median(ratios))}


def measure_recall(
    captioner: Captioner, index: IndexFile, queries: list[list[int]], k: int
) -> dict[str, Any]:
    """The mean share of the exact `k` best within short lists of several lengths."""
    gradient, space = captioner.gradient, captioner.space
    step, threads = captioner.graphs.step, captioner.graphs.threads
    vectors, mean = index.vectors, index.mean
    linear: dict[int, list[float]] = {length: [] for length in LENGTHS}
    refined: dict[int, list[float]] = {length: [] for length in LENGTHS}
    first = []
    for query in queries:
        exact = cross_log_probs(step, vectors, [query], space, threads=threads)[:, 0]
        best = np.argsort(-exact, kind="stable")[:k]
        order = np.argsort(-(vectors @ query_vector(gradient, mean, query, space)), kind="stable")
        for length in LENGTHS:
            found = short_list(gradient, vectors, mean, query, space, count=length)
            refined[length].append(float(np.isin(best, found).mean()))
            linear[length].append(float(np.isin(best, order[:length]).mean()))
        rows, _ = best_rows(step, gradient, vectors, mean, query, space, k=k, threads=threads)
        first.append(float(np.isin(best, rows[:k]).mean()))
    return {
        "pictures": len(index),
        "queries": len(queries),
        "k": k,
        "one_slope": {length: float(np.mean(each)) for length, each in linear.items()},
        "short_list": {length: float(np.mean(each)) for length, each in refined.items()},
        "search": float(np.mean(first)),
    }


def main(
    file: Annotated[Path, typer.Option("--index", help="Index of real pictures.")],
    data: Annotated[Path, typer.Option("--data", help="Data set whose dev sentences are asked.")],
    rows: Annotated[int, typer.Option("--rows", min=1)] = 1_000_000,
    sentences: Annotated[int, typer.Option("--sentences", min=1)] = 200,
    timed: Annotated[int, typer.Option("--timed", min=1, help="Sentences that are timed.")] = 20,
    k: Annotated[int, typer.Option("-k", min=1)] = 10,
    model: Annotated[str | None, typer.Option("--model")] = None,
) -> None:
    """Time a search of many vectors; measure the recall of the short list."""
    captioner = Captioner.load(model, device="cpu")
    if captioner.gradient is None:
        raise typer.BadParameter("the model has no gradient graph", param_hint="--model")
    index = IndexFile(file)
    texts = read_queries(data, sentences)
    queries = [captioner.bundle.vocabulary.encode(tokenize(text)) for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        vectors = draw(index.vectors, rows, Path(folder) / "vectors")
        times = time_search(captioner, vectors, index.mean, queries[:timed], k)
    recall = measure_recall(captioner, index, queries, k)
    facts = {"mrnn-edge": __version__, "model": captioner.config.name}
    typer.echo(json.dumps({**facts, "time": times, "recall": recall}, indent=2))


if __name__ == "__main__":
    typer.run(main)
