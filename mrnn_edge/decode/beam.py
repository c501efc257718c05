"""Sentences out of a step function: beam search over images and beams in one call a step.

Takes a step function and image vectors, returns hypotheses of token ids. numpy only; knows no
words, no pictures and no runtime. Logs are natural here.

At each step the best `width` continuations of an image's open hypotheses are kept; one that takes
the end sign is finished and leaves the beam, which narrows by one. So every image ends with `width`
hypotheses (fewer, but one at least, where there are fewer possible sentences), after `max_words`
steps at the latest, and width 1 is greedy decoding. Where fewer are requested than the beam is
wide, an image ends as soon as no open hypothesis can still come before those that are finished: at
best it scores log_prob / (max_words + 1) ** length_penalty.

Where words are required there are as many beams as numbers of them that can have been said, each
`width` wide, so that a sentence with an unlikely word is not crowded out by likelier ones without
it (Post and Vilar 2018, "Fast lexically constrained decoding"). Only the last beam may end.
"""

from dataclasses import dataclass

import numpy as np

from mrnn_edge.arrays import Floats
from mrnn_edge.decode.constraints import Constraints
from mrnn_edge.decode.hypotheses import (
    Beams,
    Closed,
    Hypothesis,
    Next,
    SearchSpace,
    StepFunction,
    start_beams,
)
from mrnn_edge.errors import NumericalError


def beam_search(
    step: StepFunction,
    images: Floats,
    space: SearchSpace,
    *,
    width: int,
    max_words: int,
    length_penalty: float = 0.0,
    wanted: int | None = None,
    constraints: Constraints | None = None,
) -> list[list[Hypothesis]]:
    """For each image vector of float32 [N, M] its hypotheses, best first by `Closed.score`.

    The best `wanted` of them, by default all. Ties go to the hypothesis that stood higher a
    step before, then to the lower id. An image without a sentence of all required words has none.
    Raises NumericalError if the step returns NaN or plus infinity, or no word has a chance.
    """
    constraints = constraints or Constraints()
    wanted = width if wanted is None else min(wanted, width)
    longest: float = (max_words + 1) ** length_penalty
    finished: list[list[Closed]] = [[] for _ in images]
    beams = start_beams(step, images, space, constraints.prefix)
    search: _Search | None = None
    for _ in range(max_words - len(constraints.prefix)):
        if not beams.owner:
            break
        log_probs = beams.step()
        if search is None:
            scratch = np.empty((width, log_probs.shape[1]), log_probs.dtype)
            search = _Search(beams, space, constraints, width, scratch)
        going: list[Next] = []
        for image, rows in beams.images():
            done = finished[image]
            open_ones: list[Next] = []
            for each in search.best(rows, log_probs, width - len(done)):
                if each.token == space.end:
                    done.append(beams.end(each))
                else:
                    open_ones.append(each)
            if len(done) >= wanted and open_ones:
                hope = max(beams.total[each.row] + each.log_prob for each in open_ones) / longest
                scores = sorted((each.score(length_penalty) for each in done), reverse=True)
                if scores[wanted - 1] >= hope:
                    continue
            going += open_ones
        beams.extend(going)
    for row, image in enumerate(beams.owner):
        if not constraints.lacking(beams.words[row]):
            finished[image].append(beams.close(row))
    for image, group in enumerate(finished):
        if not group and not constraints.required:
            raise NumericalError(
                f"the step graph gave no word a chance for picture {image} of the batch; "
                "check the model with `mrnn-edge verify`"
            )
        group.sort(key=lambda closed: -closed.score(length_penalty))
    return [[beams.hypothesis(closed) for closed in group[:wanted]] for group in finished]


@dataclass(frozen=True)
class _Search:
    """The constants of one search."""

    beams: Beams
    space: SearchSpace
    constraints: Constraints
    width: int
    scratch: Floats
    """[width, V], where `_allowed` writes."""

    def best(self, rows: range, log_probs: Floats, room: int) -> list[Next]:
        """An image's best continuations by float32 [rows, V]; at most `room` in the last beam."""
        if not self.constraints.required:
            allowed = self._allowed(rows, log_probs)
            return [each for _, each in self._best_of(allowed, rows, room)]
        lacking = {row: self.constraints.lacking(self.beams.words[row]) for row in rows}
        found: list[Next] = []
        entering: list[tuple[float, Next]] = []
        for missing in range(len(self.constraints.required), -1, -1):
            beam = [row for row in rows if len(lacking[row]) == missing]
            leaving: list[tuple[float, Next]] = []
            best: list[tuple[float, Next]] = []
            limit = self.width if missing else room
            if beam:
                span = range(beam[0], beam[-1] + 1)
                allowed = self._allowed(span, log_probs)
                if missing:
                    allowed[:, self.space.end] = -np.inf
                # A missing required word leads into the next beam and competes there.
                for place, row in enumerate(span):
                    for word in lacking[row]:
                        log_prob = allowed.item(place, word)
                        total = self.beams.total[row] + log_prob
                        if total > -np.inf:
                            leaving.append((-total, Next(row, word, log_prob)))
                            allowed[place, word] = -np.inf
                best = self._best_of(allowed, span, limit)
            chosen = sorted(best + entering)[:limit]
            found += [each for _, each in chosen]
            entering = leaving
        return found

    def _allowed(self, rows: range, log_probs: Floats) -> Floats:
        """Log-probabilities [rows, V], -inf where a word may not come; good until the next call."""
        here = slice(rows.start, rows.stop)
        allowed = self.scratch[: len(rows)]
        np.copyto(allowed, log_probs[here])
        self.constraints.rule_out(allowed, self.beams.words[here], self.space)
        return allowed

    def _best_of(self, allowed: Floats, rows: range, count: int) -> list[tuple[float, Next]]:
        """The `count` likeliest sentences, likeliest first, each with its total's negative.

        Ties go to the upper row, then to the lower token. `allowed` is used up. Each row gives its
        best word, and its next best once that is taken: so a total is only made, in float64, of
        what can be among them. A pass over a row takes 1 µs; adding its total to each word of each
        of five rows, in float64, took 19.
        """
        before = self.beams.total[rows.start : rows.stop]
        token = allowed.argmax(axis=1).tolist()
        gained = [allowed.item(row, each) for row, each in enumerate(token)]
        total = [so_far + each for so_far, each in zip(before, gained, strict=True)]
        found: list[tuple[float, Next]] = []
        while len(found) < count and (best := max(total)) > -np.inf:
            row = total.index(best)
            found.append((-best, Next(rows[row], token[row], gained[row])))
            allowed[row, token[row]] = -np.inf
            token[row] = int(allowed[row].argmax())
            gained[row] = allowed.item(row, token[row])
            total[row] = before[row] + gained[row]
        return found
