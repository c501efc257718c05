"""How often a caption names the thing: held-out pictures of single things with their names.

    python benchmarks/named_things.py --data everyday/named.jsonl

The 200 pictures are those that training holds out (mrnn_edge_train.data.everyday.held_out). A kind
counts ("a cat" for a siamese cat), a very wide one ("an animal") does not.
"""

from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge import Captioner
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.everyday import held_out, read_named
from mrnn_edge_train.evaluation.naming import CAPTIONS, naming


def main(
    data: Annotated[Path, typer.Option(help="named.jsonl of the everyday pictures.")],
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model. [default]")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or int8. [the model's]")] = None,
) -> None:
    """Print the share of pictures named by one of the three best captions, and by the best."""
    captioner = Captioner.load(model, precision=precision)
    images = held_out(read_named(data))
    captions = []
    for image in images:
        caption = captioner.caption(image.path, nbest=CAPTIONS)
        others = [each.caption for each in caption.alternatives]
        best_first = sorted(others, key=lambda text, best=str(caption): text != best)
        captions.append([tokenize(text) for text in best_first])
    found = naming(images, captions)
    typer.echo(f"pictures      {found.pictures}")
    typer.echo(f"one of three  {found.named:.1%}")
    typer.echo(f"the best      {found.first:.1%}")


if __name__ == "__main__":
    typer.run(main)
