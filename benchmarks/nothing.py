"""How sure a model is of captions for pictures that show nothing it could describe.

    python benchmarks/nothing.py --photos everyday/images

Captions the pictures of drawings.py, and photographs upside down and shrunk; prints for each kind
how many captions stay below a confidence.
"""

from pathlib import Path
from typing import Annotated

import typer
from drawings import pictures, tiny, upside_down
from PIL import Image

from mrnn_edge import Captioner


def main(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model. [default]")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="A folder of photographs, for the last two kinds.")
    ] = None,
    each: Annotated[int, typer.Option(min=1, help="Pictures of each kind.")] = 10,
    least: Annotated[
        float, typer.Option(help="The confidence that captions should not reach.")
    ] = 0.3,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawings.")] = 1,
) -> None:
    """Print, for each kind, the share of captions below the least confidence and the worst one."""
    captioner = Captioner.load(model)
    found = list(pictures(seed, each))
    files = sorted(photos.iterdir())[: 2 * each * 3] if photos else []
    for number, path in enumerate(files):
        with Image.open(path) as photo:
            made = ("upside down", upside_down(photo)) if number % 2 else ("tiny", tiny(photo))
        found.append(made)
    below: dict[str, list[bool]] = {}
    worst: dict[str, tuple[float, str]] = {}
    for kind, picture in found:
        caption = captioner.caption(picture)
        sure = 1.0 if caption.confidence is None else caption.confidence
        below.setdefault(kind, []).append(sure < least)
        worst[kind] = max(worst.get(kind, (0.0, "")), (sure, str(caption)))
    typer.echo("kind | below | surest caption")
    for kind, shares in below.items():
        sure, text = worst[kind]
        typer.echo(f"{kind} | {sum(shares)} of {len(shares)} | {sure:.2f} {text}")
    total = [fine for shares in below.values() for fine in shares]
    typer.echo(f"all | {sum(total) / len(total):.1%} of {len(total)}")


if __name__ == "__main__":
    typer.run(main)
