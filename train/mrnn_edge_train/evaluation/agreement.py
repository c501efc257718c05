"""Rank correlation of the model's scores with human grades.

Takes a file of pictures, sentences and grades, gives Kendall's tau. No torch (extras `cpu` and
`eval`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from mrnn_edge.captioner import Captioner
from mrnn_edge.errors import DatasetError, InputError, MissingExtraError
from mrnn_edge.options import Prior
from mrnn_edge.timing import Track, untracked
from mrnn_edge.vocab import tokenize


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A picture, a sentence, and a human grade of how well they fit; higher is better."""

    picture: Path
    sentence: str
    grade: float


@dataclass(frozen=True, kw_only=True)
class Kendall:
    """Rank correlation, -1..1. tau-b corrects for ties, tau-c for grades that are few.

    None if all scores are equal.
    """

    tau_b: float | None
    tau_c: float | None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Correlation of the model's scores with human grades, over pairs with a readable picture."""

    pairs: int
    pictures: int
    log2_prob: Kendall
    log2_prob_per_word: Kendall
    """By log2_prob / (words + 1)."""
    evidence: Kendall | None
    """None if the model has no prior."""
    score: Kendall | None
    """By log2 P(sentence | picture) - log2 P(sentence) with the requested prior, as `rank` does."""
    failures: tuple[InputError, ...]
    """One error for each unreadable picture; its pairs are left out."""


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """Lines of PICTURE<TAB>SENTENCE<TAB>GRADE in UTF-8; pictures relative to the file's folder.

    Raises DatasetError naming a malformed line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(
            f"{path} is not UTF-8; convert it, for example with iconv -f latin1 -t utf-8"
        ) from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    pairs = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        try:
            picture, sentence, grade = fields
            value = float(grade)
            fine = math.isfinite(value) and bool(tokenize(sentence))
        except ValueError:
            fine = False
        if not fine:
            raise DatasetError(
                f"{path}, line {number}: {line[:60]!r} is not PICTURE<TAB>SENTENCE<TAB>GRADE with "
                "a word in the sentence and a finite number for a grade; fix the line"
            )
        pairs.append(Pair(picture=path.parent / picture, sentence=sentence, grade=value))
    if len(pairs) < 2:
        raise DatasetError(f"{path} has {len(pairs)} pairs, expected 2 or more")
    return tuple(pairs)


def agree(
    captioner: Captioner,
    pairs: Sequence[Pair],
    *,
    prior: Prior | None = None,
    track: Track = untracked,
) -> Agreement:
    """Score every pair and correlate. `prior` is that of the score, as in `Captioner.rank`.

    Raises DatasetError if the readable pairs have fewer than two different grades.
    """
    grades, scores, failures = [], [], []
    by_picture = sorted(pairs, key=lambda pair: pair.picture)
    groups = [(key, list(group)) for key, group in groupby(by_picture, lambda pair: pair.picture)]
    for picture, group in track(groups, "pairs", len(groups)):
        try:
            scores += captioner.score(picture, [pair.sentence for pair in group])
        except InputError as error:
            failures.append(error)
            continue
        grades += [pair.grade for pair in group]
    if len(set(grades)) < 2:
        named = f"; not read: {'; '.join(map(str, failures))}" if failures else ""
        raise DatasetError(
            f"{len(grades)} pairs with {len(set(grades))} different grades, expected two or more "
            f"different ones{named}"
        )
    evidence = [score.evidence for score in scores]
    encode, scorer = captioner.bundle.vocabulary.encode, captioner.sentences
    ids = [encode(word.word for word in score.words) for score in scores]
    default = Prior.NONE if scorer.prior is None else Prior.TRAIN
    priors = scorer.log2_prior(ids, Prior(prior or default))
    log2_probs = np.array([score.log2_prob for score in scores])
    return Agreement(
        pairs=len(grades),
        pictures=len(groups) - len(failures),
        log2_prob=_kendall(log2_probs, grades),
        log2_prob_per_word=_kendall(
            [score.log2_prob / (len(score.words) + 1) for score in scores], grades
        ),
        evidence=None if None in evidence else _kendall(evidence, grades),
        score=None if priors is None else _kendall(log2_probs - priors, grades),
        failures=tuple(failures),
    )


def _kendall(scores: Iterable[Any], grades: Sequence[float]) -> Kendall:
    try:
        from scipy.stats import kendalltau
    except ModuleNotFoundError:
        raise MissingExtraError("scipy", "eval") from None
    scores = list(scores)
    if len(set(scores)) < 2:
        return Kendall(tau_b=None, tau_c=None)
    taus = [float(kendalltau(scores, grades, variant=variant).statistic) for variant in "bc"]
    return Kendall(tau_b=taus[0], tau_c=taus[1])
