"""Captions by other models beside ours, in one process and one run, on the CPU in float32.

BLIP-base, ViT-GPT2 and GIT-base as `transformers` builds them, at their published sizes with
random weights: the time of a product does not depend on its numbers, and nothing is downloaded. So
that random weights do not end early, each writes twelve tokens; ours writes what it writes.

    peers   from float32 pixels of the model's own size to token ids; decoding and resizing the
            picture and spelling the words are left out, which favours them
    ours    from uint8 pixels of the model's own size to the finished record, and from the file
    floor   our encoder alone, in a bare loop over ONNX Runtime

A round holds a caption of each, so that what else the machine does falls on all of them alike.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import transformers
import typer
from rounds import milliseconds

from mrnn_edge import Captioner
from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.bundle.write import to_json
from mrnn_edge.files import write_whole
from mrnn_edge.machine import usable_cores
from mrnn_edge_cli.bench.conditions import LoadWatch
from mrnn_edge_cli.bench.hardware import Machine
from mrnn_edge_cli.bench.record import Percentiles
from mrnn_edge_cli.doctor.packages import installed_versions

TOKENS = 12
OURS_A_ROUND = 20
SETTLING = 5
"""Captions of ours before those that count in a round: torch's threads spin for a while after it
has answered, and would take the cores."""

Task = Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A model of others."""

    name: str
    build: Callable[[], Any]
    side: int
    """Of its picture, in pixels."""
    beam: int
    """What it is used with by default."""
    limit: float
    """How many times our time at our defaults it should take, at its defaults."""


def blip() -> Any:
    """Salesforce/blip-image-captioning-base: ViT-B/16 of 384 pixels, 12 layers of text."""
    # The hub's configuration has 12 heads in the text decoder, the class's default is 8.
    config = transformers.BlipConfig(text_config={"num_attention_heads": 12})
    return transformers.BlipForConditionalGeneration(config)


def vit_gpt2() -> Any:
    """nlpconnect/vit-gpt2-image-captioning: ViT-B/16 of 224 pixels, GPT-2 with cross attention."""
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(),
        transformers.GPT2Config(is_decoder=True, add_cross_attention=True),
    )
    model = transformers.VisionEncoderDecoderModel(config=config)
    model.generation_config.decoder_start_token_id = 50256
    model.generation_config.eos_token_id = 50256
    model.generation_config.pad_token_id = 50256
    return model


def git() -> Any:
    """microsoft/git-base: ViT-B/16 of 224 pixels, 6 layers of text."""
    return transformers.GitForCausalLM(transformers.GitConfig())


PEERS = (
    Peer(name="BLIP-base", build=blip, side=384, beam=3, limit=150.0),
    Peer(name="ViT-GPT2", build=vit_gpt2, side=224, beam=4, limit=80.0),
    Peer(name="GIT-base", build=git, side=224, beam=1, limit=60.0),
)


def caption_task(model: Any, side: int, beam: int) -> Task:
    """One caption of TOKENS tokens by a peer."""
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))

    def run() -> None:
        with torch.inference_mode():
            found = model.generate(
                pixel_values=pixels,
                num_beams=beam,
                do_sample=False,
                min_new_tokens=TOKENS,
                max_new_tokens=TOKENS,
            )
        # The start token comes first, with BLIP two of them.
        if not TOKENS <= found.shape[1] <= TOKENS + 2:
            raise SystemExit(f"{type(model).__name__} wrote {found.shape[1]} tokens")

    return run


def encoder_task(captioner: Captioner, pixels: np.ndarray, threads: int) -> Task:
    """Our encoder in a session of its own, with nothing of ours around it."""
    import onnxruntime  # by now the captioner has switched its telemetry off

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Else they spin on after a run, and into what is timed next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    graph = captioner.bundle.graph(captioner.precision, GraphRole.ENCODER)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feeds = {"pixels": pixels[None]}
    return lambda: session.run(["image"], feeds)


def figures(times: list[float]) -> dict[str, float]:
    """Percentiles, and the least."""
    return {**asdict(Percentiles.of(times)), "min": min(times), "runs": len(times)}


def measure(captioner: Captioner, picture: bytes, *, rounds: int, threads: int) -> dict[str, Any]:
    """All of them, round by round; times in milliseconds."""
    pixels = captioner.read(picture).pixels
    ours: dict[str, Task] = {
        "array_greedy": lambda: captioner.caption(pixels, beam=1),
        "array_default": lambda: captioner.caption(pixels),
        "file_default": lambda: captioner.caption(picture),
        "encoder_bare": encoder_task(captioner, pixels, threads),
    }
    models = {peer.name: peer.build().eval() for peer in PEERS}
    theirs: dict[tuple[str, int], Task] = {
        (peer.name, beam): caption_task(models[peer.name], peer.side, beam)
        for peer in PEERS
        for beam in sorted({1, peer.beam})
    }
    for task in theirs.values():
        task()
    own_times: dict[str, list[float]] = {name: [] for name in ours}
    their_times: dict[tuple[str, int], list[float]] = {key: [] for key in theirs}
    watch = LoadWatch()
    for _ in range(rounds):
        for _ in range(SETTLING):
            ours["file_default"]()
        for _ in range(OURS_A_ROUND):
            for name, task in ours.items():
                own_times[name].append(milliseconds(task))
        for key, task in theirs.items():
            their_times[key].append(milliseconds(task))
    own = {name: figures(times) for name, times in own_times.items()}
    reference, floor = own["array_default"], own["encoder_bare"]
    return {
        "ours_ms": own,
        "words": {
            "greedy": len(captioner.caption(pixels, beam=1).words),
            "default": len(captioner.caption(pixels).words),
        },
        "tokens": TOKENS,
        "peers": [
            peer_record(peer, models[peer.name], their_times, reference["p50"]) for peer in PEERS
        ],
        "conditions": watch.conditions(spread=floor["p95"] / floor["p50"]).to_dict(),
    }


def peer_record(
    peer: Peer, model: Any, times: dict[tuple[str, int], list[float]], ours_ms: float
) -> dict[str, Any]:
    """What was measured of one peer, and how many times ours that is."""
    default = figures(times[peer.name, peer.beam])
    ratio = default["p50"] / ours_ms
    return {
        "name": peer.name,
        "parameters": sum(each.numel() for each in model.parameters()),
        "pixels": peer.side,
        "beam": peer.beam,
        "greedy_ms": figures(times[peer.name, 1]),
        "default_ms": default,
        "ratio": ratio,
        "limit": peer.limit,
        "met": ratio >= peer.limit,
    }


def main(
    picture: Annotated[Path, typer.Argument(help="A picture for ours.")],
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 5,
    model: Annotated[str | None, typer.Option("--model")] = None,
    precision: Annotated[str | None, typer.Option("--precision")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    output: Annotated[Path | None, typer.Option("--output", help="A JSON file. [stdout]")] = None,
) -> None:
    """Measure; the record says which limits are met, and the exit code is 0 in any case."""
    threads = threads or usable_cores()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    captioner = Captioner.load(model, device="cpu", precision=precision, threads=threads)
    report = {
        "format": 1,
        "machine": asdict(Machine.here()),
        "versions": {
            **installed_versions(),
            "torch": version("torch"),
            "transformers": version("transformers"),
        },
        "model": captioner.config.name,
        "model_id": captioner.config.id,
        "precision": str(captioner.precision),
        "threads": threads,
        "rounds": rounds,
        "picture": picture.name,
        **measure(captioner, picture.read_bytes(), rounds=rounds, threads=threads),
    }
    if output is None:
        typer.echo(to_json(report), nl=False)
    else:
        write_whole(output, to_json(report))


if __name__ == "__main__":
    typer.run(main)
