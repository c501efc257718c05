"""Words and their ids. Takes text, returns tokens and ids; knows no model and no file.

The tokeniser is the one rule for text in the whole project: lower-case, then the runs of
``[a-z0-9]``. Training, scoring and evaluation all call it, so that a sentence means the same ids
everywhere.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mrnn_edge.errors import VocabularyMismatchError

_TOKEN = re.compile(r"[a-z0-9]+")

FUNCTION_WORDS = frozenset(
    """
    a an the this that these those some any each every both all several many few more most other
    another one two three four five six seven eight nine ten and or but while as than if of on in
    at to with by for from into onto near next over under behind beside between above below across
    around along through against toward towards inside outside up down out off away back front top
    side is are was were be been being am has have having had do does doing did can will would could
    may it its he him his she her hers they them their theirs you your i my we our us who which
    what there here where when how not no so very too just also together
    """.split()  # noqa: SIM905
)
"""Words that name and describe nothing by themselves; all others are content words."""


def tokenize(text: str) -> tuple[str, ...]:
    """The tokens of a text: ``"A dog's ball!"`` -> ``("a", "dog", "s", "ball")``."""
    return tuple(_TOKEN.findall(text.lower()))


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """The three special words, as in vocab.json."""

    start: str = "<start>"
    end: str = "<end>"
    unknown: str = "<unk>"


@dataclass(frozen=True)
class Vocabulary:
    """A list of words in which the position is the id, special tokens first.

    Raises VocabularyMismatchError if a word is repeated, the special tokens are not first, or a
    later word is not a token: captions go into terminals and tables, where a foreign word could be
    a control sequence, a formula or a line break.
    """

    words: tuple[str, ...]
    special: SpecialTokens = SpecialTokens()

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words):
            twice, _ = Counter(self.words).most_common(1)[0]
            raise VocabularyMismatchError(
                f"the vocabulary has the word {twice!r} twice; every word must stand once"
            )
        special = (self.special.start, self.special.end, self.special.unknown)
        if sorted(special) != sorted(self.words[:3]):
            raise VocabularyMismatchError(
                f"the vocabulary begins with {_shown(self.words[:3]) or 'nothing'}; "
                f"expected the special tokens {_shown(special)} there"
            )
        for index, word in enumerate(self.words[3:], start=3):
            if not _TOKEN.fullmatch(word):
                raise VocabularyMismatchError(
                    f"word {index} of the vocabulary is {_shown([word])}, expected lower-case "
                    "letters a to z and digits; export the model again"
                )

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.words)}

    @property
    def start(self) -> int:
        """Id of the start sign, the first input of every sentence."""
        return self._ids[self.special.start]

    @property
    def end(self) -> int:
        """Id of the end sign, the last output of every sentence."""
        return self._ids[self.special.end]

    @property
    def unknown(self) -> int:
        """Id that stands for every word the vocabulary lacks."""
        return self._ids[self.special.unknown]

    @cached_property
    def content(self) -> frozenset[int]:
        """Ids of the content words."""
        return frozenset(
            index for index, word in enumerate(self.words[3:], 3) if word not in FUNCTION_WORDS
        )

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of the tokens; a token that the vocabulary lacks becomes the unknown word's id."""
        unknown = self.unknown
        return [self._ids.get(token, unknown) for token in tokens]

    def decode(self, ids: Iterable[int]) -> tuple[str, ...]:
        """Words of the ids."""
        return tuple(self.words[index] for index in ids)

    def lacks(self, tokens: Iterable[str]) -> tuple[str, ...]:
        """The tokens that the vocabulary lacks, each once, in order of appearance."""
        return tuple(dict.fromkeys(token for token in tokens if token not in self._ids))

    def nearest(self, token: str, *, count: int = 3) -> tuple[str, ...]:
        """The words most alike in spelling (difflib's ratio, 0.6 at least), best first."""
        import difflib  # for searches alone; every command imports this module

        words = self.words[3:]  # without the special tokens
        return tuple(difflib.get_close_matches(token, words, n=count, cutoff=0.6))

    def to_json(self) -> bytes:
        """The bytes of vocab.json. Equal vocabularies give equal bytes."""
        return (json.dumps(list(self.words), ensure_ascii=True, indent=0) + "\n").encode("ascii")


def _shown(words: Iterable[str]) -> str:
    """Foreign words in one line of ASCII, shortened."""
    return ", ".join(ascii(word[:40]) for word in words)


def build_vocabulary(
    sentences: Iterable[Sequence[str]],
    *,
    minimum_count: int,
) -> Vocabulary:
    """The words seen `minimum_count` times or more, most frequent first, ties by alphabet."""
    counts = Counter(token for sentence in sentences for token in sentence)
    special = SpecialTokens()
    kept = sorted(
        (word for word, count in counts.items() if count >= minimum_count),
        key=lambda word: (-counts[word], word),
    )
    return Vocabulary((special.start, special.end, special.unknown, *kept), special)


def vocabulary_digest(vocab_json: bytes) -> str:
    """sha256 (hex) of the bytes of vocab.json; the graphs carry it in their metadata."""
    return hashlib.sha256(vocab_json).hexdigest()
