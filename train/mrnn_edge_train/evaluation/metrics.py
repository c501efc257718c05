"""Scores of captions against references: BLEU-1..4, ROUGE-L, CIDEr, and METEOR where Java is.

The scorers are pycocoevalcap's (the coco-caption toolkit, extra `eval`), its CIDEr being CIDEr-D;
the tokens are ours (`mrnn_edge.vocab.tokenize`), in place of its Java tokeniser. Takes tokens,
gives numbers; knows no model.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mrnn_edge.errors import MissingExtraError

Tokens = Sequence[str]


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """Corpus scores, 0..1 but for CIDEr, which runs to 10."""

    bleu: tuple[float, float, float, float]
    cider: float
    rouge_l: float
    meteor: float | None
    """None where no Java runs."""


def score_captions(
    references: Sequence[Sequence[Tokens]],
    captions: Sequence[Tokens],
    *,
    meteor: bool = True,
) -> CaptionScores:
    """Score one caption a picture against all of the picture's references."""
    truth, guess = _numbered(references, captions)
    bleu, _ = _scorer("bleu.bleu", "Bleu")(4).compute_score(truth, guess, verbose=0)
    rouge, _ = _scorer("rouge.rouge", "Rouge")().compute_score(truth, guess)
    return CaptionScores(
        bleu=(float(bleu[0]), float(bleu[1]), float(bleu[2]), float(bleu[3])),
        cider=cider(references, captions),
        rouge_l=float(rouge),
        meteor=_meteor(truth, guess) if meteor and shutil.which("java") else None,
    )


def cider(references: Sequence[Sequence[Tokens]], captions: Sequence[Tokens]) -> float:
    """CIDEr-D alone, the score that picks a checkpoint."""
    each = cider_each(references, captions)
    return sum(each) / len(each)


def cider_each(references: Sequence[Sequence[Tokens]], captions: Sequence[Tokens]) -> list[float]:
    """CIDEr-D of each picture's caption; its word weights are from all references together."""
    truth, guess = _numbered(references, captions)
    _, each = _scorer("cider.cider", "Cider")().compute_score(truth, guess)
    return [float(score) for score in each]


def distinct_ngrams(captions: Sequence[Tokens], n: int) -> float:
    """Different n-grams as a share of all n-grams of all captions; 0 where there are none.

    distinct-n of Li et al. 2016. It falls as captions are added: compare like numbers of them.
    """
    grams = [
        tuple(caption[at : at + n]) for caption in captions for at in range(len(caption) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 0.0


def _numbered(
    references: Sequence[Sequence[Tokens]], captions: Sequence[Tokens]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and captions as the toolkit takes them: sentences by the picture's number."""
    truth = {row: [" ".join(each) for each in group] for row, group in enumerate(references)}
    guess = {row: [" ".join(caption)] for row, caption in enumerate(captions)}
    return truth, guess


def _meteor(truth: dict[int, list[str]], guess: dict[int, list[str]]) -> float:
    scorer = _scorer("meteor.meteor", "Meteor")()
    try:
        score, _ = scorer.compute_score(truth, guess)
    finally:
        # The toolkit starts a Java process and leaves its end to the garbage collector.
        for stream in (scorer.meteor_p.stdin, scorer.meteor_p.stdout, scorer.meteor_p.stderr):
            stream.close()
        scorer.meteor_p.kill()
        scorer.meteor_p.wait()
    return float(score)


def _scorer(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"pycocoevalcap.{module}"), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "eval") from None
