"""Sentences for pictures that have names alone, lent from sentences about the same thing.

A sentence is taken if the thing is its subject, it has no other thing, and it is short. The first
is always the plainest there is: "a close up of a fox". Takes named pictures of single things and
sentences, gives pairs; knows no network.
"""

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

import numpy as np

from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.data.everyday import SINGLE, NamedImage
from mrnn_edge_train.data.kinds import GENERAL, image_classes, stem, words_for


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_LONGEST: Final = 10
"""Most words of a sentence that is taken."""
_EARLY: Final = 4
"""The thing is among this many first words."""
_CHOICE: Final = 40
"""Sentences are drawn from this many of the shortest."""
_OTHERS: Final = _words(
    "man woman men women people person boy girl child children kid guy lady teenager worker",
    "vendor crowd player band hand",
)
_BEFORE: Final = _words(
    "a an the this some two three four five several many group of bunch pair row couple large",
    "small big little old new young very tall long short empty open closed cute wooden metal",
    "glass plastic paper red blue green yellow white black brown gray grey orange pink purple",
    "silver gold golden dark light colorful shiny round striped spotted baby adult wild fluffy",
    "furry fat plain fresh ripe single close up picture photo photograph image view there is",
    "are slice piece plate bowl",
)
"""What may stand before the subject."""
_MASS: Final = _words(
    "soup milk cream juice bread coffee yogurt hay corn broccoli cabbage cauliflower food",
    "spaghetti pasta wine honey grass dough guacamole paper water fruit garlic ginger tea coral",
)
"""Words that take no article."""

_SINGULAR: Final = frozenset(["bus", "canvas", "gas", "lens"])
"""Singular words that end like a plural."""

Words = tuple[str, ...]


def weak_pairs(
    named: Sequence[NamedImage], sentences: Sequence[Words], *, count: int, seed: int
) -> tuple[CaptionedImage, ...]:
    """Pictures of single things, each with `count` sentences, or fewer if no more are found."""
    heard = frozenset(chain.from_iterable(sentences))
    labels = {
        image: tuple(word for word in words_for(image) if word not in GENERAL and word in heard)
        for image in named
        if image.source in SINGLE
    }
    classes = chain.from_iterable(each.words for each in image_classes())
    about = _about(sentences, {stem(word) for word in chain(_OTHERS, classes, *labels.values())})
    random = np.random.default_rng(seed)
    return tuple(
        CaptionedImage(path=image.path, sentences=_chosen(words, about, count, random))
        for image, words in labels.items()
        if words
    )


def _about(sentences: Sequence[Words], things: set[str]) -> Mapping[str, list[Words]]:
    """Thing -> the sentences of which it is the subject; shortest first."""
    about: defaultdict[str, set[Words]] = defaultdict(set)
    for words in sentences:
        if len(words) > _LONGEST:
            continue
        stems = [stem(word) for word in words]
        named = set(stems) & things
        if len(named) != 1 or (thing := named.pop()) not in stems[:_EARLY]:
            continue
        if _BEFORE.issuperset(words[: stems.index(thing)]):
            about[thing].add(words)
    return {
        thing: sorted(said, key=lambda words: (len(words), _shuffled(words)))
        for thing, said in about.items()
    }


def _shuffled(words: Words) -> int:
    """A number that orders sentences of equal length at random, the same in each run."""
    return zlib.crc32(" ".join(words).encode())


def _chosen(
    labels: Words, about: Mapping[str, list[Words]], count: int, random: np.random.Generator
) -> tuple[Words, ...]:
    """The plain sentence, then sentences about the closest word, then about the next."""
    found: list[Words] = [_plain(labels[0])]
    for thing in dict.fromkeys(stem(word) for word in labels[:2]):
        said = about.get(thing, [])[:_CHOICE]
        order = random.permutation(len(said))[: max(0, count - len(found))]
        found += [said[number] for number in order]
    return tuple(found[:count])


def _plain(word: str) -> Words:
    plural = word.endswith("s") and not word.endswith("ss") and word not in _SINGULAR
    if plural or word in _MASS:
        return ("a", "close", "up", "of", word)
    return ("a", "close", "up", "of", "an" if word[0] in "aeiou" else "a", word)
