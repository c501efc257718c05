"""What each part of a recipe brings: rows of changes, each trained from several seeds.

The file of rows is described in train/mrnn_edge_train/ablations.py; ablations.toml beside this
script is one. Finished runs are not run again. The table goes to standard output.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge_cli.output import Progress
from mrnn_edge_train.ablations import markdown, read_plan, run_rows

ROWS = Path(__file__).with_name("ablations.toml")


def main(
    data: Annotated[Path, typer.Option(help="Data set, as `train` takes it.")],
    out: Annotated[Path, typer.Option(help="Folder of the runs.")],
    cache: Annotated[Path, typer.Option(help="Folder of the CNN's vectors.")],
    rows: Annotated[Path, typer.Option(help="TOML file of rows.")] = ROWS,
) -> None:
    found = []
    for each in run_rows(read_plan(rows), data, out, cache=cache, track=Progress(quiet=False)):
        line = f"{each.row}, seed {each.seed}: {each.perplexity:.2f} {each.cider:.4f}"
        print(line, file=sys.stderr)  # noqa: T201
        found.append(each)
    sys.stdout.write(markdown(found))


if __name__ == "__main__":
    typer.run(main)
