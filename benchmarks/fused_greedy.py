"""A greedy decoder inside one graph, an ONNX Loop over the step, against the loop in Python.

Builds the fused graph out of a model's step.onnx: the body is the step, the banned words masked,
ArgMax and Gather; it stops at the end sign. As the loop in Python does with a call at the end, it
gives the words' probabilities under the mean training image, from a second row in each step. Both
give the same words; they take turns over image vectors, the step's threads being one in both.
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
from mrnn_edge.config import DecodeOptions, Precision
from mrnn_edge.image import read_pixels
from mrnn_edge.listing import list_files

MAX_WORDS = 20


def fuse(step: onnx.ModelProto, *, start: int, end: int, banned: tuple[int, ...]) -> bytes:
    """image float32 [2, M] -> tokens int64 [n, 2], log_probs float32 [n, 2].

    The first row chooses the words of both. The end sign is the last.
    """
    body_nodes = [
        *step.graph.node,
        helper.make_node("Add", ["log_probs", "mask"], ["allowed"]),
        helper.make_node("ArgMax", ["allowed"], ["likeliest"], axis=1, keepdims=0),
        helper.make_node("Gather", ["likeliest", "first_row"], ["next_token"]),
        helper.make_node("Unsqueeze", ["next_token", "one"], ["column"]),
        helper.make_node("GatherElements", ["log_probs", "column"], ["gained"], axis=1),
        helper.make_node("Squeeze", ["gained", "one"], ["gained_row"]),
        helper.make_node("Identity", ["next_token"], ["said"]),
        helper.make_node("Gather", ["likeliest", "first"], ["chosen"]),
        helper.make_node("Equal", ["chosen", "end"], ["is_end"]),
        helper.make_node("Not", ["is_end"], ["goes_on"]),
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
            value("token", TensorProto.INT64, [2]),
            value("state", TensorProto.FLOAT, [2, state]),
        ],
        [
            value("goes_on", TensorProto.BOOL, []),
            value("next_token", TensorProto.INT64, [2]),
            value("next_state", TensorProto.FLOAT, [2, state]),
            value("said", TensorProto.INT64, [2]),
            value("gained_row", TensorProto.FLOAT, [2]),
        ],
        [
            *step.graph.initializer,
            numpy_helper.from_array(mask, "mask"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
            numpy_helper.from_array(np.array(end, np.int64), "end"),
            numpy_helper.from_array(np.array(0, np.int64), "first"),
            numpy_helper.from_array(np.array([0, 0], np.int64), "first_row"),
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
        [value("image", TensorProto.FLOAT, [2, image])],
        [
            value("tokens", TensorProto.INT64, [None, 2]),
            value("found", TensorProto.FLOAT, [None, 2]),
        ],
        [
            numpy_helper.from_array(np.array(MAX_WORDS, np.int64), "limit"),
            numpy_helper.from_array(np.array(True), "yes"),
            numpy_helper.from_array(np.array([start, start], np.int64), "start"),
            numpy_helper.from_array(np.zeros((2, state), np.float32), "zeros"),
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
    """Time both loops, with confidence, without the encoder."""
    captioner = Captioner.load(model, device="cpu", precision=Precision.FLOAT32)
    space = captioner.space
    precision = captioner.config.precisions[captioner.precision]
    step = onnx.load(captioner.bundle.folder / precision.step.file)
    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = 1
    graph = fuse(step, start=space.start, end=space.end, banned=space.banned)
    fused = onnxruntime.InferenceSession(graph, session, providers=["CPUExecutionProvider"])
    listed = list_files([os.fspath(folder)], recursive=True)
    files = [each for each in listed if isinstance(each, str)][:pictures]
    spec = captioner.config.image
    vectors = [captioner.graphs.encoder(read_pixels(file, spec)[None]) for file in files]
    spent: dict[str, list[float]] = {"python": [], "fused": []}
    options = DecodeOptions(beam=1)
    wishes = captioner.captions.constraints(options)
    prior = captioner.captions.prior
    if prior is None:
        raise SystemExit("this model carries no prior")

    def timed(name: str, run: Any) -> Any:
        start = time.perf_counter()
        found = run()
        spent[name].append((time.perf_counter() - start) * 1000.0)
        return found

    for vector in vectors * rounds:
        rows = np.concatenate([vector, prior.mean[None]])
        tokens, found = timed("fused", lambda r=rows: fused.run(["tokens", "found"], {"image": r}))
        (decoded,) = timed("python", lambda v=vector: captioner.captions.decode(v, options, wishes))
        best = decoded.hypotheses[0]
        if tokens[:, 0].tolist() != [*best.tokens, *([space.end] if best.ended else [])]:
            raise SystemExit("the two loops give different words")
        np.testing.assert_allclose(found[:, 0], best.log_probs, atol=1e-3)
        np.testing.assert_allclose(found[:, 1], decoded.habit, atol=1e-3)
    python, inside = (float(np.median(spent[name])) for name in ("python", "fused"))
    typer.echo(f"{captioner.config.name}, {len(files)} pictures, {rounds} rounds, greedy")
    typer.echo(f"loop in Python  {python:8.3f} ms")
    typer.echo(f"fused graph     {inside:8.3f} ms, {1 - inside / python:.1%} less")


if __name__ == "__main__":
    typer.run(main)
