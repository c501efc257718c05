"""What several `--data` make of a run: read, their vectors had, and found again when it goes on.

Takes sources and a function that opens a frozen CNN, gives what the loop trains on; knows no stage.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from mrnn_edge.errors import OptionError
from mrnn_edge.image import Pixels
from mrnn_edge.progress import Track, untracked
from mrnn_edge_train.complaints import complain
from mrnn_edge_train.encoders import EncoderName
from mrnn_edge_train.features import Vectors
from mrnn_edge_train.journal import read_facts
from mrnn_edge_train.mixed_data import prepare_mixture, unheard
from mrnn_edge_train.mixture import Mixture, Source, parse_source, read_mixture
from mrnn_edge_train.recipe import Recipe
from mrnn_edge_train.stages import TrainingData
from mrnn_edge_train.vectors import Reader, VectorStore, compute, open_store

OpenReader = Callable[[EncoderName, int], Reader]
"""The name of a CNN and the side of its pictures -> the CNN as a function (export's frozen.py)."""

_APART = "\n"
"""Between the sources of a run, as run.json has them."""


def is_mixture(sources: Sequence[Source], recipe: Recipe) -> bool:
    """Whether a run is of several sets, or of one in another way than as it is."""
    return len(sources) > 1 or sources[0].weight != 1.0 or recipe.mixed is not None


def written(sources: Sequence[Source]) -> str:
    """Sources as run.json has them."""
    return _APART.join(
        str(each.path) if each.weight == 1.0 else f"{each.path}={each.weight:g}" for each in sources
    )


def named(data: str) -> str:
    """The names of a run's sets, for people: `flickr8k + everyday`."""
    paths = (parse_source(text).path.resolve() for text in data.split(_APART))
    return " + ".join(path.name for path in paths)


def sources_of(run: Path) -> tuple[Source, ...]:
    """The data sets of a run. Raises OptionError if it is none."""
    return tuple(parse_source(text) for text in str(read_facts(run)["data"]).split(_APART))


def seed_of(run: Path) -> int:
    """The seed of a run. Raises OptionError if it is none."""
    return int(read_facts(run)["seed"])


def prepare_sources(
    recipe: Recipe,
    sources: Sequence[Source],
    *,
    cache: Path,
    open_reader: OpenReader,
    seed: int,
    track: Track = untracked,
    say: Callable[[str], None] = unheard,
) -> TrainingData:
    """Read the sets and have the vectors of all their pictures, from the cache or into it."""
    if recipe.encoder not in list(EncoderName):
        raise OptionError(
            f"several data sets are read by a CNN, and {recipe.encoder} is none; "
            f"name one of {', '.join(EncoderName)}"
        )
    mixture = read_mixture(sources)
    store = _store(recipe, mixture, cache=cache, open_reader=open_reader, track=track)
    return prepare_mixture(recipe, mixture, store, seed=seed, say=say)


def _store(
    recipe: Recipe, mixture: Mixture, *, cache: Path, open_reader: OpenReader, track: Track
) -> VectorStore:
    """The vectors, in a folder that is named after the CNN and the pictures."""
    pictures = [image.path for image in chain(mixture.train, *mixture.dev.values())]
    pictures += [image.path for image in chain(mixture.named, mixture.held_out)]
    counts = Counter(path.name for path in pictures)
    complain("file names that come twice", [name for name, count in counts.items() if count > 1])
    name, size = EncoderName(recipe.encoder), recipe.image_size
    digest = hashlib.sha256()
    for path in pictures:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    folder = cache / f"{name}-{size}-{digest.hexdigest()[:16]}"
    opened: list[Reader] = []

    def read(pixels: Pixels) -> tuple[Vectors, Vectors]:
        if not opened:  # which takes a while, and need not be where all is read already
            opened.append(open_reader(name, size))
        return opened[0](pixels)

    compute(read, pictures, folder, size=size, track=track)
    return open_store(folder)
