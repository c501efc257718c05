"""Whether a model's captions on another machine, or another ONNX Runtime, are as good as here.

`encode` runs there, with the extra `cpu` and no other: it takes a folder of pictures and writes
their image vectors. `compare` runs here, with a data set that has these pictures: it makes captions
of those vectors and of its own, and tells how far the vectors lie apart, how many captions are the
same and the CIDEr of both. The step is not compared; `mrnn-edge verify` does that on either.
"""

import platform
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from mrnn_edge import Captioner, DecodeOptions
from mrnn_edge.constraints import Constraints
from mrnn_edge.image import read_pixels
from mrnn_edge.listing import list_files
from mrnn_edge.runtime import runtime_facts

OPTIONS = DecodeOptions()


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


@click.group(help=__doc__)
def main() -> None:
    """Two commands, one for each machine."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(min=1), default=300, help="So many of the pictures.")
@click.option("--model")
@click.option("--precision")
def encode(folder: Path, out: Path, count: int, model: str | None, precision: str | None) -> None:
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


@main.command()
@click.argument("there", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data set.")
@click.option("--model")
def compare(there: Path, data: Path, model: str | None) -> None:
    """Captions of the vectors of another machine against those of this one's."""
    from mrnn_edge_train.flickr8k import Split, read_split
    from mrnn_edge_train.metrics import cider_each

    found: dict[str, Any] = dict(np.load(there, allow_pickle=False))
    captioner = Captioner.load(model, device="cpu", precision=str(found["precision"]), threads=1)
    if captioner.config.id != str(found["model"]):
        raise click.BadParameter(f"{there} is of model {found['model']}")
    known = {image.name: image for split in Split for image in read_split(data, split)}
    rows = [row for row, name in enumerate(found["names"].tolist()) if name in known]
    if not rows:
        raise click.BadParameter(f"{data} has none of the pictures of {there}")
    images = [known[found["names"][row]] for row in rows]
    theirs, own = found["vectors"][rows], vectors(captioner, [image.path for image in images])
    apart = np.linalg.norm(theirs - own, axis=1) / np.linalg.norm(own, axis=1)
    said = {str(found["machine"]): captions(captioner, theirs), "here": captions(captioner, own)}
    click.echo(f"{captioner.config.name}, {captioner.precision}, {len(images)} pictures, beam of 3")
    click.echo(f"vectors apart, of their length: {np.median(apart):.4f}, at most {apart.max():.4f}")
    same = sum(map(list.__eq__, *said.values()))
    click.echo(f"captions that are the same: {same / len(images):.3f}")
    for where, each in said.items():
        score = np.mean(cider_each([image.sentences for image in images], each))
        click.echo(f"CIDEr {where}: {score:.4f}")


if __name__ == "__main__":
    main()
