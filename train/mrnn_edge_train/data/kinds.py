"""What captions call a thing that a data set names: a "siamese cat" is a cat and an animal.

imagenet.tsv has ImageNet's 1,000 classes in the order of the classifier's outputs, one a line:
WordNet id, name, and the words for it that captions use, the nearest first. Other names (rooms of
ADE20K, groceries) are known by their last word. No torch, no file of a data set.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.everyday import NamedImage

GENERAL: Final = frozenset(
    ["animal", "food", "vehicle", "building", "machine", "store", "shop", "water", "room"]
)
"""Kinds so wide that using one does not name a thing."""
_STUFF: Final = frozenset(["base", "blind", "case", "ceiling", "earth", "field", "floor", "wall"])
"""What every room has, or what captions use in another sense."""
_PLURALS: Final = (("ies", "y"), ("ves", "f"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"))
_GOODS: Final = {
    "anjou": "pear fruit",
    "conference": "pear fruit",
    "kaiser": "pear fruit",
    "golden delicious": "apple apples fruit",
    "granny smith": "apple apples fruit",
    "pink lady": "apple apples fruit",
    "red delicious": "apple apples fruit",
    "royal gala": "apple apples fruit",
    "satsumas": "orange oranges fruit",
    "juice smooth": "juice carton",
    "mandarin morning": "juice carton",
    "golden grapefruit": "juice carton",
    "aubergine": "eggplant vegetable",
    "beet": "beets vegetable",
    "cantaloupe": "melon fruit",
    "soyghurt": "yogurt carton",
    "oatghurt": "yogurt carton",
    "yoghurt": "yogurt carton",
    "milk": "milk carton",
    "cream": "cream carton",
    "juice": "juice carton",
    "grapefruit": "grapefruit fruit",
    "pepper": "pepper peppers vegetable",
    "potato": "potato potatoes vegetable",
    "tomato": "tomato tomatoes vegetable",
    "onion": "onion onions vegetable",
    "mushroom": "mushroom mushrooms vegetable",
    "windowpane": "window",
    "signboard": "sign",
    "stairway": "stairs",
    "armchair": "chair",
    "skyscraper": "building",
    "minibike": "motorcycle",
    "streetlight": "light",
    "sofa": "couch",
    "ashcan": "trash can",
    "palm": "palm tree",
    "signal": "light",
    "screen": "screen monitor",
    "airplane": "airplane plane",
    "grandstand": "stadium crowd",
}
"""By the end of a name: the words that captions use instead."""


@dataclass(frozen=True)
class ImageClass:
    """A class of ImageNet."""

    wordnet: str
    name: str
    words: tuple[str, ...]
    """The closest first."""


@cache
def image_classes() -> tuple[ImageClass, ...]:
    """The 1,000 classes, by the number of the classifier's output."""
    text = (
        resources.files("mrnn_edge_train.data").joinpath("imagenet.tsv").read_text(encoding="utf-8")
    )
    rows = (line.split("\t") for line in text.splitlines())
    return tuple(ImageClass(wordnet, name, tuple(words.split())) for wordnet, name, words in rows)


def words_for(image: NamedImage) -> tuple[str, ...]:
    """The words that name what is in a picture, each once: the first thing's, then the others'."""
    if image.source == "imagenet":
        number = image.name.split("_")[1]
        found = [each.words for each in image_classes() if each.wordnet == number]
        if found:
            return found[0]
    words = (word for name in image.names for word in _usual(name))
    return tuple(dict.fromkeys(word for word in words if word not in _STUFF))


def alike(word: str, other: str) -> bool:
    """Whether two words differ at most by a plural ending."""
    return stem(word) == stem(other)


def names_it(captions: Iterable[Iterable[str]], words: Iterable[str]) -> bool:
    """Whether one of the captions, as tokens, has one of the words, `GENERAL` ones apart."""
    wanted = {stem(word) for word in words if word not in GENERAL}
    return any(stem(word) in wanted for caption in captions for word in caption)


def _usual(name: str) -> tuple[str, ...]:
    tokens = tokenize(name)
    for count in (2, 1):
        if (end := " ".join(tokens[-count:])) in _GOODS:
            return tuple(_GOODS[end].split())
    return tokens[-1:]


def stem(word: str) -> str:
    """A word without its plural ending, roughly: what `alike` compares."""
    for ending, instead in _PLURALS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    if word.endswith("oes"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
