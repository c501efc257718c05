"""A greedy decoder inside one graph, an ONNX Loop over the step, against the loop in Python.

Builds the fused graph out of a model's step.onnx: the body is the step, the banned words masked,
ArgMax and Gather; it stops at the end sign. Both give the same words; they take turns over image
vectors, the step's threads being one in both.
"""

import os
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import typer
from onnx import TensorProto, helper, numpy_helper

from mrnn_edge import Captioner
from mrnn_edge.decode import beam_search
from mrnn_edge.image import read_pixels
from mrnn_edge.listing import list_files

MAX_WORDS = 20


def fuse(step: onnx.ModelProto, *, start: int, end: int, banned: tuple[int, ...]) -> bytes:
    """image float32 [1, M] -> tokens int64 [n], log_probs float32 [n]; the end sign is the last."""
    body_nodes = [
        *step.graph.node,
        helper.make_node("Add", ["log_probs", "mask"], ["allowed"]),
        helper.make_node("ArgMax", ["allowed"], ["next_token"], axis=1, keepdims=0),
        helper.make_node("Unsqueeze", ["next_token", "one"], ["column"]),
        helper.make_node("GatherElements", ["log_probs", "column"], ["gained"], axis=1),
        helper.make_node("Squeeze", ["gained", "one"], ["gained_row"]),
        helper.make_node("Identity", ["next_token"], ["said"]),
        helper.make_node("Equal", ["next_token", "end"], ["is_end"]),
        helper.make_node("Not", ["is_end"], ["goes_on_row"]),
        helper.make_node("Squeeze", ["goes_on_row"], ["goes_on"]),
    ]
    state = step.graph.input[1].type.tensor_type.shape.dim[1].dim_value
    image = step.graph.input[2].type.tensor_type.shape.dim[1].dim_value
    words = step.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    mask = np.zeros((1, words), np.float32)
    mask[0, list(banned)] = -np.inf
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        body_nodes,
        "body",
        [
            value("at", TensorProto.INT64, []),
            value("going", TensorProto.BOOL, []),
            value("token", TensorProto.INT64, [1]),
            value("state", TensorProto.FLOAT, [1, state]),
        ],
        [
            value("goes_on", TensorProto.BOOL, []),
            value("next_token", TensorProto.INT64, [1]),
            value("next_state", TensorProto.FLOAT, [1, state]),
            value("said", TensorProto.INT64, [1]),
            value("gained_row", TensorProto.FLOAT, [1]),
        ],
        [
            *step.graph.initializer,
            numpy_helper.from_array(mask, "mask"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
            numpy_helper.from_array(np.array([end], np.int64), "end"),
        ],
    )
    loop = helper.make_node(
        "Loop",
        ["limit", "yes", "start", "zeros"],
        ["last_token", "last_state", "tokens", "found"],
        body=body,
    )
    graph = helper.make_graph(
        [loop],
        "greedy",
        [value("image", TensorProto.FLOAT, [1, image])],
        [
            value("tokens", TensorProto.INT64, [None, 1]),
            value("found", TensorProto.FLOAT, [None, 1]),
        ],
        [
            numpy_helper.from_array(np.array(MAX_WORDS, np.int64), "limit"),
            numpy_helper.from_array(np.array(True), "yes"),
            numpy_helper.from_array(np.array([start], np.int64), "start"),
            numpy_helper.from_array(np.zeros((1, state), np.float32), "zeros"),
        ],
    )
    model = helper.make_model(graph, opset_imports=step.opset_import, ir_version=step.ir_version)
    return bytes(model.SerializeToString())


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures, different ones.")],
    pictures: Annotated[int, typer.Option("--pictures", min=1)] = 50,
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 20,
    model: Annotated[str | None, typer.Option("--model")] = None,
) -> None:
    """Time both loops, words alone, without the encoder and without confidence."""
    captioner = Captioner.load(model, device="cpu")
    space = captioner.space
    precision = captioner.config.precisions[captioner.precision]
    step = onnx.load(captioner.bundle.folder / precision.step.file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = fuse(step, start=space.start, end=space.end, banned=space.banned)
    fused = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    listed = list_files([os.fspath(folder)], recursive=True)
    files = [each for each in listed if isinstance(each, str)][:pictures]
    spec = captioner.config.image
    vectors = [captioner.graphs.encoder(read_pixels(file, spec)[None]) for file in files]
    spent: dict[str, list[float]] = {"python": [], "fused": []}

    def timed(name: str, run: Any) -> Any:
        start = time.perf_counter()
        found = run()
        spent[name].append((time.perf_counter() - start) * 1000.0)
        return found

    for vector in vectors * rounds:
        tokens, _ = timed("fused", lambda v=vector: fused.run(["tokens", "found"], {"image": v}))
        ((best,),) = timed(
            "python",
            lambda v=vector: beam_search(
                captioner.graphs.step, v, space, width=1, max_words=MAX_WORDS
            ),
        )
        if tokens[:, 0].tolist() != [*best.tokens, *([space.end] if best.ended else [])]:
            raise SystemExit("the two loops give different words")
    python, inside = (float(np.median(spent[name])) for name in ("python", "fused"))
    typer.echo(f"{captioner.config.name}, {len(files)} pictures, {rounds} rounds, greedy")
    typer.echo(f"loop in Python  {python:8.3f} ms")
    typer.echo(f"fused graph     {inside:8.3f} ms, {1 - inside / python:.1%} less")


if __name__ == "__main__":
    typer.run(main)
