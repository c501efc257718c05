"""The facade: pictures in, captions and scores out.

`Captioner.load` does all the reading and checking; after it, a call can fail only for its picture
or its options. Log-probabilities leave here in bits (base 2), as in the paper.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mrnn_edge.bundle import Bundle, load_bundle
from mrnn_edge.config import BundleConfig, DecodeOptions, Precision
from mrnn_edge.decode import Floats, Hypothesis, SearchSpace, beam_search
from mrnn_edge.errors import BundleError, InputError, NumericalError, OptionError
from mrnn_edge.graphs import GradientGraph
from mrnn_edge.image import ImageSource, Pixels, read_pixels
from mrnn_edge.runtime import Device, Graphs, open_gradient, open_graphs
from mrnn_edge.score import BITS_PER_NAT, sentence_log_probs
from mrnn_edge.timing import StageTimer
from mrnn_edge.vocab import Vocabulary, tokenize


@dataclass(frozen=True, kw_only=True)
class Word:
    """One word of a sentence, and how the model saw it coming."""

    word: str
    prob: float
    """P(word | words before, image), 0..1."""
    grounding: float | None
    """Bits that the image, rather than habit, gave for the word; None without a prior."""


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A sentence of the n best."""

    caption: str
    log2_prob: float


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One sentence for one picture."""

    text: str
    log2_prob: float
    """log2 P(sentence | image) in bits, the end sign included unless the word limit cut it."""
    perplexity: float
    """2 ** (-log2_prob / (words + 1))"""
    confidence: float | None
    """Bits of evidence that the image gives for the sentence; None without a prior."""
    words: tuple[Word, ...]
    alternatives: tuple[Alternative, ...]
    """The n best by log2_prob, the caption among them; empty unless more than one was wanted."""
    truncated: bool
    """The word limit cut the sentence."""
    model: str
    device: str
    precision: str
    timing_ms: dict[str, float]
    """decode, encode and generate in milliseconds, and total; in a batch, a picture's share."""

    def to_record(self, file: str) -> dict[str, Any]:
        """The JSON record of the command (docs/records.md)."""
        record: dict[str, Any] = {
            "file": file,
            "caption": self.text,
            "log2_prob": self.log2_prob,
            "perplexity": self.perplexity,
            "confidence": self.confidence,
            "words": [asdict(word) for word in self.words],
        }
        if self.alternatives:
            record["alternatives"] = [asdict(each) for each in self.alternatives]
        return {
            **record,
            "model": self.model,
            "device": self.device,
            "precision": self.precision,
            "timing_ms": {stage: round(spent, 3) for stage, spent in self.timing_ms.items()},
        }


@dataclass(frozen=True, kw_only=True)
class SentenceScore:
    """How likely a given sentence is for a picture."""

    sentence: str
    log2_prob: float
    """log2 P(sentence | image) in bits, the end sign included."""
    perplexity: float
    confidence: float | None
    words: tuple[Word, ...]
    unknown_words: tuple[str, ...]
    """Words that the vocabulary lacks; each was scored as the unknown word."""


class Captioner:
    """A model, opened. Make one with `Captioner.load`; threads may share it."""

    def __init__(self, bundle: Bundle, graphs: Graphs, precision: Precision) -> None:
        self._bundle = bundle
        self._graphs = graphs
        self._precision = precision
        self._space = search_space(bundle.vocabulary, state=bundle.config.sizes.state)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        precision: Precision | str | None = None,
        threads: int | None = None,
    ) -> "Captioner":
        """Open a model: the default one, a shipped one by name, or a folder.

        `device` is `auto` (CUDA where it works, else the CPU), `cpu`, `cuda` or `cuda:N`;
        `precision` defaults to the model's own choice, `threads` to the cores this process may
        use. Raises ModelError, DeviceError or OptionError.
        """
        bundle = load_bundle(model)
        chosen = _parse_precision(precision) or bundle.config.default_precision
        graphs = open_graphs(
            bundle.config,
            read=lambda role: bundle.graph(chosen, role),
            metadata=bundle.metadata,
            device=device,
            threads=threads,
        )
        captioner = cls(bundle, graphs, chosen)
        captioner._warm_up()
        return captioner

    @property
    def config(self) -> BundleConfig:
        """What the model is."""
        return self._bundle.config

    @property
    def bundle(self) -> Bundle:
        """The model's folder and its parts."""
        return self._bundle

    @property
    def graphs(self) -> Graphs:
        """The two graphs, for those who drive them on their own."""
        return self._graphs

    @cached_property
    def gradient(self) -> GradientGraph | None:
        """The graph for the short lists of searches, opened at first use; None: there is none.

        Raises a ModelError where the file is damaged or belongs to another model.
        """
        if self.config.gradient is None:
            return None
        return open_gradient(
            self.config,
            read=lambda role: self._bundle.graph(self._precision, role),
            metadata=self._bundle.metadata,
        )

    @property
    def space(self) -> SearchSpace:
        """The special ids and the state's length, for those who decode or score on their own."""
        return self._space

    @property
    def device(self) -> Device:
        """Where the graphs run."""
        return self._graphs.device

    @property
    def precision(self) -> Precision:
        """The arithmetic of the graphs."""
        return self._precision

    def caption(
        self,
        image: ImageSource,
        *,
        beam: int = DecodeOptions.beam,
        nbest: int = DecodeOptions.nbest,
        max_words: int = DecodeOptions.max_words,
        length_penalty: float | None = DecodeOptions.length_penalty,
    ) -> Caption:
        """Describe a picture: a path, bytes, file object, Pillow image or uint8 RGB [H, W, 3].

        Raises an InputError if the picture cannot be read, OptionError for a wish out of range.
        """
        options = DecodeOptions(
            beam=beam, nbest=nbest, max_words=max_words, length_penalty=length_penalty
        )
        (outcome,) = self.caption_batch([image], options)
        if isinstance(outcome, InputError):
            raise outcome
        return outcome

    def caption_batch(
        self, images: Sequence[ImageSource], options: DecodeOptions | None = None
    ) -> list[Caption | InputError]:
        """One outcome a picture, in order: its caption, or the error that it met.

        Raises OptionError for a single path or the bytes of one file in place of a list.
        """
        if isinstance(images, str | bytes):
            raise OptionError("images is one picture; give a list, or call caption")
        options = options or DecodeOptions()
        timer = StageTimer()
        outcomes: dict[int, Caption | InputError] = {}
        pixels: list[Pixels] = []
        readable: list[int] = []
        with timer("decode"):
            for index, image in enumerate(images):
                try:
                    pixels.append(read_pixels(image, self.config.image))
                    readable.append(index)
                except InputError as error:
                    outcomes[index] = error
        if readable:
            try:
                found = self._generate(np.stack(pixels), options, timer)
            except NumericalError as error:
                if len(readable) == 1:
                    return [outcomes.get(index, error) for index in range(len(images))]
                # One picture spoils the call, not its neighbours: each is tried alone.
                for index in readable:
                    outcomes[index] = self.caption_batch([images[index]], options)[0]
            else:
                timing = timer.milliseconds(pictures=len(readable))
                for index, hypotheses in zip(readable, found, strict=True):
                    outcomes[index] = self._to_caption(hypotheses, options, timing)
        return [outcomes[index] for index in range(len(images))]

    def encode(self, image: ImageSource) -> Floats:
        """The image vector [M] of a picture. Raises an InputError."""
        vectors = self._graphs.encoder(read_pixels(image, self.config.image)[None])
        vector: Floats = vectors[0]
        return vector

    def score(self, image: ImageSource, sentences: Sequence[str]) -> list[SentenceScore]:
        """How likely each sentence is for the picture. Raises an InputError, or OptionError."""
        if isinstance(sentences, str):
            raise OptionError("sentences is one string; give a list of sentences")
        tokens = [tokenize(sentence) for sentence in sentences]
        ids = [self._bundle.vocabulary.encode(words) for words in tokens]
        vectors = np.repeat(self.encode(image)[None], len(ids), axis=0)
        scored = sentence_log_probs(self._graphs.step, vectors, ids, self._space)
        scores = []
        for sentence, words, log_probs in zip(sentences, tokens, scored, strict=True):
            log2_prob, perplexity = _figures(float(log_probs.sum()), len(words))
            scores.append(
                SentenceScore(
                    sentence=sentence,
                    log2_prob=log2_prob,
                    perplexity=perplexity,
                    confidence=None,
                    words=_words(words, log_probs.tolist()),
                    unknown_words=self._bundle.vocabulary.lacks(words),
                )
            )
        return scores

    def _warm_up(self) -> None:
        """One grey picture and one step: weights that are not finite are refused at load."""
        spec = self.config.image
        grey = np.full((1, spec.height, spec.width, 3), 127, np.uint8)
        try:
            self._generate(grey, DecodeOptions(beam=1, max_words=1), StageTimer())
        except NumericalError as error:
            raise BundleError(
                f"{self._bundle.folder}: {error} (a grey one, at load); export the model anew"
            ) from None

    def _generate(
        self, pixels: Pixels, options: DecodeOptions, timer: StageTimer
    ) -> list[list[Hypothesis]]:
        with timer("encode"):
            vectors = self._graphs.encoder(pixels)
        with timer("generate"):
            return beam_search(
                self._graphs.step,
                vectors,
                self._space,
                width=options.width,
                max_words=options.max_words,
                length_penalty=self._penalty(options),
            )

    def _penalty(self, options: DecodeOptions) -> float:
        if options.length_penalty is None:
            return self.config.decoding.length_penalty
        return options.length_penalty

    def _to_caption(
        self, hypotheses: list[Hypothesis], options: DecodeOptions, timing: dict[str, float]
    ) -> Caption:
        best = hypotheses[0]
        words = self._bundle.vocabulary.decode(best.tokens)
        log2_prob, perplexity = _figures(best.log_prob, len(words))
        alternatives: tuple[Alternative, ...] = ()
        if options.nbest > 1:
            # The n best by rank, shown by probability.
            wanted = sorted(hypotheses[: options.nbest], key=lambda each: -each.log_prob)
            alternatives = tuple(
                Alternative(
                    caption=" ".join(self._bundle.vocabulary.decode(each.tokens)),
                    log2_prob=each.log_prob * BITS_PER_NAT,
                )
                for each in wanted
            )
        return Caption(
            text=" ".join(words),
            log2_prob=log2_prob,
            perplexity=perplexity,
            confidence=None,
            words=_words(words, best.log_probs),
            alternatives=alternatives,
            truncated=not best.ended,
            model=self.config.name,
            device=str(self.device),
            precision=str(self._precision),
            timing_ms=timing,
        )


def search_space(vocabulary: Vocabulary, *, state: int) -> SearchSpace:
    """What the decoder may generate of a vocabulary: never the start and the unknown word."""
    return SearchSpace(
        start=vocabulary.start,
        end=vocabulary.end,
        banned=(vocabulary.start, vocabulary.unknown),
        state=state,
    )


def _parse_precision(precision: Precision | str | None) -> Precision | None:
    if precision is None:
        return None
    try:
        return Precision(precision)
    except ValueError:
        known = " or ".join(Precision)
        raise OptionError(f"precision is {precision!r}, expected {known}") from None


def _figures(log_prob: float, words: int) -> tuple[float, float]:
    """log2 probability in bits, and perplexity, of a sentence of so many words."""
    log2_prob = log_prob * BITS_PER_NAT
    # 2 ** 1024 would overflow: a sentence that the model holds impossible stays a number.
    return log2_prob, 2.0 ** min(-log2_prob / (words + 1), 1023.0)


def _words(words: Sequence[str], log_probs: Sequence[float]) -> tuple[Word, ...]:
    # The end sign's probability, where there is one, stands last and belongs to no word.
    return tuple(
        Word(word=word, prob=float(np.exp(log_prob)), grounding=None)
        for word, log_prob in zip(words, log_probs, strict=False)
    )
