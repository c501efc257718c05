"""Several data sets as one: pairs with weights, sentences alone, names alone, a dev set each.

    --data flickr8k --data everyday=2            each sentence of everyday comes twice an epoch
    --data sentences.tsv.gz --data named.jsonl   a set may have sentences or names alone

Takes paths, gives sentences and names. No torch, no pixels.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mrnn_edge.errors import OptionError
from mrnn_edge.vocab import SpecialTokens, Vocabulary
from mrnn_edge_train.data import everyday
from mrnn_edge_train.data.common import CaptionedImage, Split
from mrnn_edge_train.data.datasets import read_split
from mrnn_edge_train.data.everyday import NamedImage
from mrnn_edge_train.data.kinds import image_classes, words_for

SENTENCE_SHARE: Final = 0.125
"""How much a word in a sentence without a picture counts for the vocabulary."""
HEARD: Final = 1
"""A word of a name enters the vocabulary if sentences, with or without a picture, have it this
often."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set and how often an epoch has each of its sentences."""

    path: Path
    weight: float = 1.0


_SEPARATOR = "\n"
"""Between the sources of a run in run.json."""


def parse_source(text: str) -> Source:
    """`PATH` or `PATH=WEIGHT`. Raises OptionError for a weight that is not a number in range."""
    path, sign, weight = text.rpartition("=")
    if not sign or Path(text).exists():
        return Source(path=Path(text))
    try:
        value = float(weight)
    except ValueError:
        value = -1.0
    if not 0.0 < value <= 100.0:
        raise OptionError(f"--data {text}: the weight is {weight!r}, expected above 0, at most 100")
    return Source(path=Path(path), weight=value)


def parse_sources(data: str) -> tuple[Source, ...]:
    """The inverse of `written`."""
    return tuple(parse_source(text) for text in data.split(_SEPARATOR))


def written(sources: Sequence[Source]) -> str:
    """Sources as run.json has them."""
    return _SEPARATOR.join(
        str(each.path) if each.weight == 1.0 else f"{each.path}={each.weight:g}" for each in sources
    )


def names_of(data: str) -> str:
    """The names of a run's sets, for people: `flickr8k + everyday`."""
    return " + ".join(each.path.resolve().name for each in parse_sources(data))


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What several data sets hold together."""

    train: tuple[CaptionedImage, ...]
    weights: tuple[float, ...]
    """How often an epoch has the sentences of each of these pictures."""
    dev: dict[str, tuple[CaptionedImage, ...]]
    """By the name of the set."""
    sentences: tuple[tuple[str, ...], ...] = ()
    named: tuple[NamedImage, ...] = ()
    held_out: tuple[NamedImage, ...] = ()
    """Named pictures that are never trained on."""


def read_mixture(sources: Sequence[Source]) -> Mixture:
    """Read the sets. Raises DatasetError as their readers do, OptionError if no set has pairs."""
    train: list[CaptionedImage] = []
    weights: list[float] = []
    dev: dict[str, tuple[CaptionedImage, ...]] = {}
    sentences: list[tuple[str, ...]] = []
    named: list[NamedImage] = []
    for source in sources:
        path = source.path
        if _is_sentences(path):
            sentences += everyday.read_sentences(path)
        elif _is_named(path):
            named += everyday.read_named(path)
        else:
            images = read_split(path, Split.TRAIN)
            train += images
            weights += [source.weight] * len(images)
            dev[name_of(path)] = read_split(path, Split.DEV)
    if not train:
        raise OptionError("none of --data has pictures with sentences; name one that has")
    aside = everyday.held_out(tuple(named))
    kept = frozenset(image.name for image in aside)
    return Mixture(
        train=tuple(train),
        weights=tuple(weights),
        dev=dev,
        sentences=tuple(sentences),
        named=tuple(image for image in named if image.name not in kept),
        held_out=aside,
    )


def name_of(path: Path) -> str:
    """The name of a data set: its folder's."""
    return (path if path.is_dir() else path.parent).resolve().name


def has_pairs(path: Path) -> bool:
    """Whether a set has pictures with sentences, not sentences or names alone."""
    return not _is_sentences(path) and not _is_named(path)


def _is_sentences(path: Path) -> bool:
    return path.name.endswith(".tsv.gz")


def _is_named(path: Path) -> bool:
    return path.name == everyday.NAMED


def mixture_vocabulary(mixture: Mixture, *, minimum_count: int) -> Vocabulary:
    """The words that pairs have `minimum_count` times or sentences alone eight times as often, and
    those of names that any sentence has; most frequent first, ties by alphabet."""
    counts: Counter[str] = Counter()
    for image in mixture.train:
        for sentence in image.sentences:
            counts.update(sentence)
    heard: Counter[str] = Counter()
    for sentence in mixture.sentences:
        heard.update(sentence)
    known = frozenset(_words_of_names(mixture.named))
    total = {
        word: counts[word] + SENTENCE_SHARE * heard[word] for word in counts.keys() | heard.keys()
    }
    kept = [
        word
        for word, count in total.items()
        if count >= minimum_count or (word in known and counts[word] + heard[word] >= HEARD)
    ]
    special = SpecialTokens()
    ordered = sorted(kept, key=lambda word: (-total[word], word))
    return Vocabulary((special.start, special.end, special.unknown, *ordered), special)


def _words_of_names(named: Iterable[NamedImage]) -> Iterable[str]:
    """Of the pictures, and of all ImageNet classes if there are pictures."""
    pictures = tuple(named)
    for image in pictures:
        yield from words_for(image)
    if pictures:
        for each in image_classes():
            yield from each.words
