"""What tests of training share."""

from pathlib import Path

from mrnn_edge_train.data.mixture import Source
from mrnn_edge_train.loop import Plan
from mrnn_edge_train.recipe import Recipe


def plan(recipe: Recipe, data: Path, *, seed: int = 1) -> Plan:
    """A run of a recipe on one data set."""
    return Plan(recipe=recipe, sources=(Source(path=data),), seed=seed)
