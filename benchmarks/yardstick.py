"""A whole caption against EfficientNet-Lite2 alone at 260 pixels, in float32: the yardstick.

That is the size that Lite2 was made for, so it tells what the sentence costs over looking at all.
The model's own encoder is given pictures of 260 pixels, in a copy of its graph: convolutions and
the mean over places do not ask for a size. The same threads for all, which take turns. For a model
with float32 graphs on Lite2.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import typer

from mrnn_edge import Captioner
from mrnn_edge.bundle import load_bundle
from mrnn_edge.config import GraphRole, Precision
from mrnn_edge.image import read_pixels
from mrnn_edge.listing import list_files

SIDE = 260
WARM_UP = 10


def larger(encoder: bytes, side: int) -> bytes:
    """The encoder's graph for pictures of `side` pixels."""
    model = onnx.load_model_from_string(encoder)
    (pixels,) = model.graph.input
    for place in (1, 2):
        pixels.type.tensor_type.shape.dim[place].dim_value = side
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures, different ones.")],
    pictures: Annotated[int, typer.Option("--pictures", min=1)] = 50,
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 6,
    model: Annotated[str | None, typer.Option("--model")] = None,
) -> None:
    """Time captions of pixels of the model's size, greedy, by default and with a beam of 5."""
    bundle = load_bundle(model)
    wanted = larger(bundle.graph(Precision.FLOAT32, GraphRole.ENCODER), SIDE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.add_session_config_entry("session.force_spinning_stop", "1")
    alone = onnxruntime.InferenceSession(wanted, options, providers=["CPUExecutionProvider"])
    listed = list_files([os.fspath(folder)], recursive=True)
    files = [each for each in listed if isinstance(each, str)][:pictures]
    small = [read_pixels(file, bundle.config.image) for file in files]
    random = np.random.default_rng(0)
    large = random.integers(0, 256, (len(files), 1, SIDE, SIDE, 3), np.uint8)
    contestants: dict[str, Callable[[int], Any]] = {
        f"Lite2 alone, {SIDE} pixels, float32": lambda at: alone.run(None, {"pixels": large[at]})
    }
    for precision in bundle.config.precisions:
        captioner = Captioner.load(model, device="cpu", precision=precision)
        for beam in (1, 3, 5):
            contestants[f"{precision}, beam of {beam}"] = (
                lambda at, captioner=captioner, beam=beam: captioner.caption(small[at], beam=beam)
            )
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    warm_up = min(WARM_UP, len(files))
    for number in [*range(warm_up), *list(range(len(files))) * rounds]:
        for name, run in contestants.items():
            start = time.perf_counter()
            run(number)
            spent[name].append((time.perf_counter() - start) * 1000.0)
    medians = {name: float(np.median(each[warm_up:])) for name, each in spent.items()}
    floor = next(iter(medians.values()))
    typer.echo(f"{bundle.config.name}, {len(files)} pictures, {rounds} rounds, median ms")
    for name, median in medians.items():
        typer.echo(f"{name:36s} {median:8.2f} {median / floor:7.3f}")


if __name__ == "__main__":
    typer.run(main)
