"""What each part of a recipe brings: rows of changes, each trained from several seeds.

Takes a TOML file of rows (ablations.toml beside this script is one), trains each row from each
seed, prints a table of dev figures. Finished runs are kept; stopped ones are resumed.

    recipe = "m-rnn"                # their base: a recipe by name, or a file beside this one
    seeds = [1, 2, 3]

    [rows."as in the paper"]        # no change

    [rows."without the picture"]
    image = false

    [rows.tuned]
    recipe = "flickr8k"             # a base of its own
    finetune.epochs = 6             # the other keys of the table stay
"""

import statistics
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mrnn_edge.errors import OptionError
from mrnn_edge.timing import Track, untracked
from mrnn_edge_cli.output import Progress
from mrnn_edge_train.data.mixture import Source
from mrnn_edge_train.journal import read_facts
from mrnn_edge_train.loop import Plan as RunPlan
from mrnn_edge_train.loop import has_ended, resume, train
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.recipe import Recipe, named_recipes, read_recipe, recipe_from_dict

ROWS = Path(__file__).with_name("ablations.toml")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run."""

    rows: Mapping[str, Recipe]
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Dev figures of a finished run's kept weights, calibrated where its recipe says so."""

    row: str
    seed: int
    perplexity: float
    cider: float


def read_plan(path: Path) -> Plan:
    """Read a file of rows. Raises OptionError with what is wrong, a row's recipe included."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} cannot be read as TOML ({error})") from None
    if unknown := sorted(values.keys() - {"recipe", "seeds", "rows"}):
        raise OptionError(f"{path}: unknown key {unknown[0]}; known are recipe, seeds, rows")
    base, seeds, rows = (values.get(key) for key in ("recipe", "seeds", "rows"))
    if not isinstance(base, str):
        raise OptionError(f"{path}: recipe is {base!r}, expected the name or file of one")
    whole = isinstance(seeds, list) and all(type(each) is int and each >= 0 for each in seeds)
    if not isinstance(seeds, list) or not whole or not seeds or len(set(seeds)) < len(seeds):
        raise OptionError(f"{path}: seeds is {seeds!r}, expected different whole numbers")
    if not isinstance(rows, dict) or not rows:
        raise OptionError(f"{path}: rows is {rows!r}, expected a table of rows")
    return Plan(
        rows={name: _row(path, name, base, change) for name, change in rows.items()},
        seeds=tuple(seeds),
    )


def _row(path: Path, name: str, base: str, change: Any) -> Recipe:
    where = f"{path}, row {name}"
    if not isinstance(change, dict):
        raise OptionError(f"{where}: is {change!r}, expected a table of changes")
    # The name is a folder's as well.
    if not name or name.startswith(".") or any(sign in name for sign in "/\\|\n"):
        raise OptionError(f"{where}: not a folder name; leave out a first dot, / \\ and |")
    recipe = str(change.get("recipe", base))
    beside = path.parent / recipe
    taken = recipe if recipe in named_recipes() or not beside.is_file() else str(beside)
    values = read_recipe(taken).to_dict()
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            values[key] = {**values[key], **value}
        elif key != "recipe":
            values[key] = value
    return recipe_from_dict(values, where)


def run_rows(
    plan: Plan, data: Path, out: Path, *, cache: Path, track: Track = untracked
) -> Iterator[Outcome]:
    """Run each row from each seed in `out`/ROW/seedN, and give its figures when it is finished.

    Raises OptionError for a folder that holds the run of another recipe or data set, and as
    `train` and `resume` do.
    """
    for name, recipe in plan.rows.items():
        for seed in plan.seeds:
            folder = out / name / f"seed{seed}"
            if not _finished(folder, recipe, data):
                prepared = prepare(recipe, data, cache=cache, track=track)
                if folder.exists():
                    epochs = resume(prepared, folder, track=track)
                else:
                    run = RunPlan(recipe=recipe, sources=(Source(path=data),), seed=seed)
                    epochs = train(run, prepared, folder, track=track)
                for _ in epochs:
                    pass
            yield _outcome(folder, name, seed)


def _finished(folder: Path, recipe: Recipe, data: Path) -> bool:
    if not folder.exists():
        return False
    facts = read_facts(folder)
    if recipe_from_dict(facts["recipe"], str(folder)) != recipe or facts["data"] != str(data):
        raise OptionError(
            f"{folder} holds a run of another recipe or data set; remove it, or name another folder"
        )
    return has_ended(folder)


def _outcome(folder: Path, row: str, seed: int) -> Outcome:
    facts = read_facts(folder)
    best = facts["best"]
    figures = {"perplexity": best["dev_perplexity"], "cider": best["dev_cider"]}
    figures = facts["calibration"]["after"] if "calibration" in facts else figures
    return Outcome(row=row, seed=seed, perplexity=figures["perplexity"], cider=figures["cider"])


def markdown(outcomes: Iterable[Outcome]) -> str:
    """A table of the rows, in their order: the mean over seeds, and the sample deviation."""
    rows: dict[str, list[Outcome]] = {}
    for each in outcomes:
        rows.setdefault(each.row, []).append(each)
    lines = ["| row | seeds | dev perplexity | dev CIDEr |", "| --- | --- | --- | --- |"]
    for name, found in rows.items():
        perplexity = _spread([each.perplexity for each in found], 2)
        cider = _spread([each.cider for each in found], 4)
        lines.append(f"| {name} | {len(found)} | {perplexity} | {cider} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


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
