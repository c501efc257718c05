"""A step function of a small vocabulary, and every sentence of it: the oracle of the decoders."""

import itertools

import numpy as np

from mrnn_edge.decode.hypotheses import SearchSpace

START, END, UNKNOWN = 0, 1, 2
SPACE = SearchSpace(start=START, end=END, banned=(START, UNKNOWN), state=3)


class TableStep:
    """A step function of a small vocabulary whose probabilities hang on image, token and state.

    The state is an integer in disguise: a hash of the words so far, so that no two prefixes need
    be alike, and a state that is reordered wrongly gives other numbers.
    """

    def __init__(self, seed: int, vocabulary: int = 6) -> None:
        self.random = np.random.default_rng(seed)
        self.vocabulary = vocabulary
        self.mix = self.random.normal(0, 2, (vocabulary, 3))
        self.out = self.random.normal(0, 2, (3, vocabulary))
        self.see = self.random.normal(0, 2, (2, vocabulary))
        self.batches: list[int] = []

    def __call__(self, token, state, image):
        self.batches.append(len(token))
        state = np.tanh(
            state @ np.array([[0.3, 1, 0], [-1, 0.2, 1], [0, 1, -0.5]]) + self.mix[token]
        )
        logits = state @ self.out + image @ self.see
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return log_probs.astype(np.float32), state.astype(np.float32)


def images(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed + 1000).normal(0, 1, (count, 2)).astype(np.float32)


def all_sentences(step: TableStep, image: np.ndarray, max_words: int):
    """Every sentence of the search space with its log-probability, found by walking all of it."""
    words = [w for w in range(step.vocabulary) if w not in (START, END, UNKNOWN)]
    found = {}
    for length in range(max_words + 1):
        for tokens in itertools.product(words, repeat=length):
            state, last, total = np.zeros((1, 3), np.float32), START, 0.0
            for token in (*tokens, END):
                log_probs, state = step(np.array([last]), state, image[None])
                if token == END and length == max_words:
                    break  # the limit cuts the sentence, no end sign
                total += float(log_probs[0, token])
                last = token
            found[tokens] = total
    return found
