"""Whether a model's captions on another machine, or another ONNX Runtime, are as good as here.

`encode` runs there, with the base install: it takes a folder of pictures and writes their image
vectors. `compare` runs here, with a data set that has these pictures: it makes captions of those
vectors and of its own, and tells how far the vectors lie apart, how many captions are the same and
the CIDEr of both. The step is not compared; `mrnn-edge verify` does that on either machine.
"""

import platform
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from mrnn_edge import Captioner, DecodeOptions
from mrnn_edge.constraints import Constraints
from mrnn_edge.image import read_pixels
from mrnn_edge.listing import list_files
from mrnn_edge.runtime import runtime_facts

OPTIONS = DecodeOptions()

app = typer.Typer(help=__doc__)
Precision = Annotated[str | None, typer.Option("--precision")]
Model = Annotated[str | None, typer.Option("--model")]


def vectors(captioner: Captioner, files: list[Path]) -> NDArray[np.float32]:
    """Image vectors [N, M]."""
    spec = captioner.config.image
    return np.concatenate([captioner.graphs.encoder(read_pixels(f, spec)[None]) for f in files])


def captions(captioner: Captioner, images: NDArray[np.float32]) -> list[list[str]]:
    """The words of each, by the command's own beam."""
    search, found = captioner.captions, []
    for each in images:
        (decoded,) = search.decode(each[None], OPTIONS, Constraints())
        found.append(list(search.vocabulary.decode(decoded.hypotheses[0].tokens)))
    return found


@app.command()
def encode(
    folder: Annotated[Path, typer.Argument(help="Pictures.")],
    out: Annotated[Path, typer.Argument(help="An .npz.")],
    count: Annotated[int, typer.Option("--count", min=1, help="So many of them.")] = 300,
    model: Model = None,
    precision: Precision = None,
) -> None:
    """Write the image vectors of pictures, as they come out on this machine."""
    captioner = Captioner.load(model, device="cpu", precision=precision, threads=1)
    listed = [Path(str(file)) for file in list_files([str(folder)], recursive=True)]
    files = listed[:: max(1, len(listed) // count)][:count]
    np.savez(
        out,
        names=np.array([file.name for file in files]),
        vectors=vectors(captioner, files),
        model=np.array(captioner.config.id),
        precision=np.array(str(captioner.precision)),
        machine=np.array(f"{platform.machine()}, ONNX Runtime {runtime_facts().version}"),
    )


@app.command()
def compare(
    there: Annotated[Path, typer.Argument(help="What `encode` wrote.")],
    data: Annotated[Path, typer.Option("--data", help="The data set.")],
    model: Model = None,
) -> None:
    """Captions of the vectors of another machine against those of this one's."""
    from mrnn_edge_train.flickr8k import Split, read_split
    from mrnn_edge_train.metrics import cider_each

    found: dict[str, Any] = dict(np.load(there, allow_pickle=False))
    captioner = Captioner.load(model, device="cpu", precision=str(found["precision"]), threads=1)
    if captioner.config.id != str(found["model"]):
        raise typer.BadParameter(f"{there} is of model {found['model']}")
    known = {image.name: image for split in Split for image in read_split(data, split)}
    rows = [row for row, name in enumerate(found["names"].tolist()) if name in known]
    images = [known[found["names"][row]] for row in rows]
    theirs, own = found["vectors"][rows], vectors(captioner, [image.path for image in images])
    apart = np.linalg.norm(theirs - own, axis=1) / np.linalg.norm(own, axis=1)
    said = {str(found["machine"]): captions(captioner, theirs), "here": captions(captioner, own)}
    typer.echo(f"{captioner.config.name}, {captioner.precision}, {len(images)} pictures, beam of 3")
    typer.echo(f"vectors apart, of their length: {np.median(apart):.4f}, at most {apart.max():.4f}")
    same = sum(map(list.__eq__, *said.values()))
    typer.echo(f"captions that are the same: {same / len(images):.3f}")
    for where, each in said.items():
        score = np.mean(cider_each([image.sentences for image in images], each))
        typer.echo(f"CIDEr {where}: {score:.4f}")


if __name__ == "__main__":
    app()
