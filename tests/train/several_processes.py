"""What each process does in test_distributed.py: a run that is stopped and resumed."""

import json
import sys
from pathlib import Path

import torch

from mrnn_edge_train import distributed
from mrnn_edge_train.data.mixture import Source
from mrnn_edge_train.loop import Plan, resume, train
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.recipe import recipe_from_dict
from mrnn_edge_train.torch_device import CPU


def main(folder: Path, stop_after: int) -> None:
    torch.set_num_threads(1)
    distributed.join(CPU)
    recipe = recipe_from_dict(json.loads((folder / "recipe.json").read_text()), "recipe.json")
    data, out = folder / "set", folder / "several"
    prepared = prepare(recipe, data, cache=folder / "cache of several")
    steps = iter(range(1, 1000))
    # Ctrl-C reaches one process first: the second of them here, and the others must follow.
    plan = Plan(recipe=recipe, sources=(Source(path=data),), seed=1)
    stopped = train(
        plan,
        prepared,
        out,
        stop=lambda: next(steps) >= stop_after and distributed.rank() == 1,
    )
    list(stopped)
    if distributed.is_first():
        (folder / "log when stopped").write_bytes((out / "log.ndjson").read_bytes())
    list(resume(prepared, out))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
