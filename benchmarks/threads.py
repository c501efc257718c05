"""What threads, spinning, rows and bound buffers do to the encoder and the step, without the loop.

First the step alone, called in a row: microseconds by rows, by a call and with all inputs and
outputs bound to buffers. Then the encoder and 13 steps in turn, 40 µs between the steps as the loop
takes them: milliseconds by how the encoder's threads wait and how many the step has. The settings
take turns, with a pause between them, so that no pool spins into another's time.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import typer

from mrnn_edge import Captioner
from mrnn_edge.config import Precision

ENCODERS = {
    "spins on": {},
    "stops after a run": {"session.force_spinning_stop": "1"},
    "never spins": {"session.intra_op.allow_spinning": "0"},
}
STEPS = {
    "1 thread": (1, {}),
    "2 threads": (2, {}),
    "2, 300 us": (2, {"session.intra_op.spin_duration_us": "300"}),
}
OUTPUTS = ["log_probs", "next_state"]
BETWEEN_S = 40e-6


def opened(path: Path, threads: int, entries: dict[str, str]) -> Any:
    """A session of the graph with so many threads and these settings."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def microseconds(run: Callable[[], object], *, times: int = 1500) -> float:
    """The median of so many."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return float(np.median(spent)) * 1e6


def call_and_bound(session: Any, feeds: dict[str, Any], words: int) -> tuple[float, float]:
    """Microseconds by a call, and bound."""
    rows, state = feeds["state"].shape
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    buffers = (np.empty((rows, words), np.float32), np.empty((rows, state), np.float32))
    for name, to in zip(OUTPUTS, buffers, strict=True):
        binding.bind_output(name, "cpu", 0, np.float32, to.shape, to.ctypes.data)
    return (
        microseconds(lambda: session.run(OUTPUTS, feeds)),
        microseconds(lambda: session.run_with_iobinding(binding)),
    )


def main(
    model: Annotated[str | None, typer.Option("--model")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 7,
) -> None:
    """Time the graphs of a model, float32."""
    captioner = Captioner.load(model, device="cpu", precision=Precision.FLOAT32, threads=threads)
    pair = captioner.config.precisions[captioner.precision]
    folder, sizes, image = captioner.bundle.folder, captioner.config.sizes, captioner.config.image

    def feeds(rows: int) -> dict[str, Any]:
        return {
            "token": np.zeros(rows, np.int64),
            "state": np.zeros((rows, sizes.state), np.float32),
            "image": np.zeros((rows, sizes.image), np.float32),
        }

    steps = {name: opened(folder / pair.step.file, *how) for name, how in STEPS.items()}
    typer.echo("rows   call us  bound us")
    for rows in (1, 2, 3, 5, 10):
        call, bound = call_and_bound(steps["1 thread"], feeds(rows), sizes.vocabulary)
        typer.echo(f"{rows:4}{call:10.0f}{bound:10.0f}")

    pixels = np.zeros((1, image.height, image.width, 3), np.uint8)
    encoders = {
        name: opened(folder / pair.encoder.file, threads, how) for name, how in ENCODERS.items()
    }
    settings = [(encoder, step) for encoder in encoders for step in steps]
    spent: dict[tuple[str, str], list[tuple[float, float]]] = {each: [] for each in settings}
    for setting in settings * rounds:
        time.sleep(0.15)
        encoder, step = encoders[setting[0]], steps[setting[1]]
        for _ in range(8):
            start = time.perf_counter()
            encoder.run(["image"], {"pixels": pixels})
            middle = time.perf_counter()
            given = feeds(1)
            for _ in range(13):
                step.run(OUTPUTS, given)
                until = time.perf_counter() + BETWEEN_S
                while time.perf_counter() < until:
                    pass
            spent[setting].append((middle - start, time.perf_counter() - start))
    typer.echo(f"{'encoder':20}{'step':12}{'encoder ms':>12}{'with steps ms':>15}")
    for setting, times in spent.items():
        alone, both = np.median(np.array(times), axis=0) * 1000.0
        typer.echo(f"{setting[0]:20}{setting[1]:12}{alone:12.2f}{both:15.2f}")


if __name__ == "__main__":
    typer.run(main)
