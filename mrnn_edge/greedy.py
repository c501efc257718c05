"""A greedy search as one run of a graph, for those who make more than a few.

Takes a function that opens the graph (greedy_graph.py) and image vectors, gives what beam_search
finds with a beam of 1 and no wishes, and the probabilities of those words under further vectors.
Knows no words, and nothing of how the graph comes about. Logs are natural here.

The graph holds the step's weights once more, and opening it takes as long as it saves in some
thirty sentences. So the first few searches are left to the loop in Python, which is all that a
process with one picture ever needs; the next one has the graph opened in a thread beside it, and
once that is done the graph takes over. Whatever the graph does not answer plainly is left to the
loop in Python too, which has the words for what is wrong.
"""

from collections.abc import Callable
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.beams import Floats, Hypothesis, SearchSpace
from mrnn_edge.session import Session
from mrnn_edge.threads import Started

LIMIT: Final = "greedy/limit"
IMAGE: Final = "image"
"""As the step calls it."""
OUTPUTS: Final = ("greedy/tokens", "greedy/log_probs", "greedy/sums", "greedy/states")
"""Names of the graph, which greedy_graph.py describes."""

_FEW: Final = 2
"""Searches before the graph is thought worth opening: the grey picture at load, and one."""


class GreedySearch:
    """Sentences, the likeliest word each time. Threads may share it."""

    def __init__(
        self, opener: Callable[[], Session], space: SearchSpace, *, few: int = _FEW
    ) -> None:
        """`few` searches are left to the loop in Python before `opener` is called, in a thread."""
        self._opener = opener
        self._space = space
        self._banned = frozenset(space.banned)
        self._few = few
        self._searches = 0
        self._lock = Lock()
        self._opening: Started[Session | None] | None = None

    def __call__(
        self, images: Floats, *, max_words: int
    ) -> tuple[Hypothesis, NDArray[np.float64]] | None:
        """The sentence for the first of image vectors [K, M], and its words under each of them.

        The latter are log-probabilities [K, its words and the end sign if it ended]. None: ask the
        loop in Python. Raises as Session.run does.
        """
        session = self._session()
        if session is None:
            return None
        feeds = {LIMIT: np.array(max_words, np.int64), IMAGE: images}
        tokens, log_probs, sums, states = session.run(list(OUTPUTS), feeds)
        steps, rows = len(tokens), len(images)
        if log_probs.shape != (steps, rows) or states.shape != (steps, rows, self._space.state):
            return None
        # NaN fails these comparisons. Under another vector minus infinity is a number like others.
        if not ((sums < np.inf).all() and (log_probs < np.inf).all()):
            return None
        said = tuple(tokens.tolist())
        if not (log_probs[:, 0] > -np.inf).all() or not self._banned.isdisjoint(said):
            return None  # no word had a chance
        ended = said[-1] == self._space.end
        hypothesis = Hypothesis(
            tokens=said[:-1] if ended else said,
            log_probs=tuple(log_probs[:, 0].tolist()),
            ended=ended,
            states=states[:, 0],
        )
        return hypothesis, log_probs.T.astype(np.float64)

    def ready(self) -> bool:
        """Open the graph now and wait for it, however few searches there were; whether it opened.

        For those who measure, and want the same search from the first picture to the last.
        """
        return self._begun().wait() is not None

    def _session(self) -> Session | None:
        """The open graph, if it is there by now."""
        if self._opening is None:
            with self._lock:
                self._searches += 1
                if self._searches <= self._few:
                    return None
        opening = self._begun()
        return opening.wait() if opening.ended else None

    def _begun(self) -> "Started[Session | None]":
        with self._lock:
            if self._opening is None:
                self._opening = Started(self._opened, name="open greedy")
            return self._opening

    def _opened(self) -> Session | None:
        try:
            return self._opener()
        except Exception:
            # A folder that has gone since, memory that is short, a step that no loop can hold: the
            # sentences come all the same, and an error that concerns them is the loop's to raise.
            return None
