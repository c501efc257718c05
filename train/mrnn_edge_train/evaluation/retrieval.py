"""Retrieval by probability, the paper's protocol: which sentence for a picture, which picture for
a sentence.

Takes a Captioner and pictures with references, gives recalls and median ranks. No torch (extra
`cpu`).

    image to sentence   all references of all pictures by P(w | I) / P(w); the rank that counts is
                        the best among the picture's own
    sentence to image   all pictures by P(w | I), for each reference; P(w) would change nothing

An equal score of another picture, as of an identical sentence, counts as better.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats
from mrnn_edge.captioner import Captioner
from mrnn_edge.decode.cross import log_mean_exp
from mrnn_edge.options import Prior
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train.data.common import CaptionedImage

Bits = NDArray[np.float64]
_CHUNK: Final = 250
"""Sentences scored between updates of the progress bar."""


@dataclass(frozen=True, kw_only=True)
class Recall:
    """The ranks of the right answers."""

    r1: float
    """Share of queries whose first answer is right, 0..1; r5 and r10: one of five, of ten."""
    r5: float
    r10: float
    median_rank: float


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Both directions over a split."""

    sentences: int
    image_to_sentence: dict[Prior, Recall]
    """By the prior that the probabilities are divided by; without a prior, none alone."""
    sentence_to_image: Recall
    right_picture: float
    """Share of pairs of a caption and another picture of the split in which the caption is likelier
    for its own picture."""

    def to_record(self) -> dict[str, Any]:
        """The figures of `eval --retrieval --json`; `image_to_sentence` is by the best prior."""
        best = Prior.TRAIN if Prior.TRAIN in self.image_to_sentence else Prior.NONE
        return {
            "sentences": self.sentences,
            "image_to_sentence": asdict(self.image_to_sentence[best]),
            "sentence_to_image": asdict(self.sentence_to_image),
            "image_to_sentence_by_prior": {
                str(prior): asdict(recall) for prior, recall in self.image_to_sentence.items()
            },
            "right_picture": self.right_picture,
        }


def evaluate_retrieval(
    captioner: Captioner,
    images: Sequence[CaptionedImage],
    vectors: Floats,
    captions: Sequence[str],
    *,
    track: Track = untracked,
) -> Retrieval:
    """Rank all references for all pictures, and all pictures for all references.

    `vectors`, float32 [N, M], are the pictures' (evaluate.py), `captions` the model's own. The work
    is one softmax for each picture and each distinct beginning of a sentence.
    """
    scorer = captioner.sentences
    references = [scorer.vocabulary.encode(words) for image in images for words in image.sentences]
    owner = np.repeat(np.arange(len(images)), [len(image.sentences) for image in images])
    priors = [Prior.NONE] if scorer.prior is None else [Prior.NONE, Prior.MEAN, Prior.TRAIN]
    extra = {} if scorer.prior is None else {kind: scorer.prior.vectors(kind) for kind in priors}
    rows = np.concatenate([vectors, *(each for each, _ in extra.values())])
    bits = _all_pairs(captioner, rows, references, "retrieval", track)
    likely, rest = bits[: len(images)], bits[len(images) :]
    worth = {Prior.NONE: likely}
    for kind in priors[1:]:
        count, weights = len(extra[kind][0]), extra[kind][1]
        worth[kind] = likely - log_mean_exp(rest[:count] * np.log(2.0), weights) / np.log(2.0)
        rest = rest[count:]
    own = [scorer.vocabulary.encode(caption.split()) for caption in captions]
    generated = _all_pairs(captioner, vectors, own, "right picture", track)
    return Retrieval(
        sentences=len(references),
        image_to_sentence={kind: _image_to_sentence(each, owner) for kind, each in worth.items()},
        sentence_to_image=_recall(_rank_of_own(likely.T, owner)),
        right_picture=_right_picture(generated),
    )


def _all_pairs(
    captioner: Captioner, vectors: Floats, ids: list[list[int]], description: str, track: Track
) -> Bits:
    """log2 P [N, S]. In the sentences' alphabetical order, so that a chunk shares beginnings."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    found = np.empty((len(vectors), len(ids)))
    starts = range(0, len(ids), _CHUNK)
    for start in track(starts, description, len(starts)):
        chunk = order[start : start + _CHUNK]
        found[:, chunk] = captioner.sentences.log2_probs(vectors, [ids[each] for each in chunk])
    return found


def _image_to_sentence(worth: Bits, owner: NDArray[np.intp]) -> Recall:
    """From scores [N, S] and each sentence's picture to the ranks of the best own sentences."""
    ranks = []
    for row, scores in enumerate(worth):
        own = owner == row
        ranks.append(1 + int((scores[~own] >= scores[own].max()).sum()))
    return _recall(np.array(ranks))


def _rank_of_own(scores: Bits, owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """From scores [S, N] to the rank of each sentence's own picture."""
    own = scores[np.arange(len(scores)), owner]
    ranks: NDArray[np.intp] = (scores >= own[:, None]).sum(axis=1)
    return ranks


def _recall(ranks: NDArray[np.intp]) -> Recall:
    return Recall(
        r1=float((ranks <= 1).mean()),
        r5=float((ranks <= 5).mean()),
        r10=float((ranks <= 10).mean()),
        median_rank=float(np.median(ranks)),
    )


def _right_picture(scores: Bits) -> float:
    """From the captions' scores [N pictures, N captions], caption n being picture n's."""
    own = np.diagonal(scores)
    others = len(own) * (len(own) - 1)
    return float((scores < own).sum() / others) if others else 1.0
