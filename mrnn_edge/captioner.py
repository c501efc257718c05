"""The facade: pictures in, captions and scores out.

`Captioner.load` does all the reading and checking; after it, a call can fail only for its picture,
its options or its device. Log-probabilities leave here in bits (base 2), as in the paper.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import Precision
from mrnn_edge.bundle.folder import Bundle
from mrnn_edge.decode.constraints import Constraints
from mrnn_edge.engine.opening import Loading, Opening, begin
from mrnn_edge.engine.runtime import Graphs
from mrnn_edge.errors import BundleError, InputError, ModelError, NumericalError, OptionError
from mrnn_edge.image.read import ImageSource, Picture, as_picture, read_picture
from mrnn_edge.language.captions import CaptionGenerator, search_space
from mrnn_edge.language.confidence import checked_weights
from mrnn_edge.language.records import Caption
from mrnn_edge.options import DecodeOptions, Prior, Sampling
from mrnn_edge.timing import StageTimer

if TYPE_CHECKING:
    from mrnn_edge.camera.frames import ReconnectPolicy
    from mrnn_edge.camera.scene import CaptionEvent, Scene, WatchOptions
    from mrnn_edge.camera.source import Source
    from mrnn_edge.engine.gradient import OpenGradient
    from mrnn_edge.language.sentences import RankedSentence, SentenceScore, SentenceScorer


class Captioner:
    """An open model. Make one with `Captioner.load`; threads may share it.

    It pickles as its load options and reloads where it is unpickled: in a spawned process, on
    another machine. A forked child must load its own. It is immutable: a copy is the same object.
    """

    def __init__(self, bundle: Bundle, graphs: Graphs, loading: Loading) -> None:
        self._loading = loading
        self.bundle: Final = bundle
        """The model's folder and its parts."""
        self.config: Final = bundle.config
        """What the model is."""
        self.graphs: Final = graphs
        """The two graphs, for callers that run them directly."""
        self.device: Final = graphs.device
        """Where both graphs run."""
        self.precision: Final = graphs.precision
        """The arithmetic of the graphs."""
        self.space: Final = search_space(bundle.vocabulary, state=bundle.config.sizes.state)
        """The special ids and the state's length, for callers that decode or score directly."""
        self.captions: Final = CaptionGenerator(
            step=graphs.step,
            vocabulary=bundle.vocabulary,
            space=self.space,
            prior=bundle.prior(),
            weights=checked_weights(bundle.config.confidence),
            length_penalty=bundle.config.decoding.length_penalty,
            model=bundle.config.name,
            device=str(graphs.device),
            precision=str(graphs.precision),
        )
        """Captions of image vectors, for callers that encode directly."""

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        precision: Precision | str | None = None,
        threads: int | None = None,
        concurrency: int = 1,
    ) -> "Captioner":
        """Open a model: the default one, a shipped one by name, or a folder.

        `device` is `auto` (CUDA where it works, else the CPU), `cpu`, `cuda` or `cuda:N`;
        `precision` defaults to the model's own, on CUDA to float32 if it has it, `threads` to the
        cores this process may use. `concurrency` calls at a time share the threads, which suits
        many pictures (bulk/run.py). Raises ModelError, DeviceError or OptionError.
        """
        opening = begin(
            model, device=device, precision=precision, threads=threads, concurrency=concurrency
        )
        captioner = cls.of(opening)
        captioner.check()
        return captioner

    @classmethod
    def of(cls, opening: Opening) -> "Captioner":
        """Wait for the graphs of a model that is being opened (engine/opening.py).

        This is `load` without the `check` of what the graphs compute. Raises as `load` does.
        """
        return cls(opening.bundle, opening.graphs.wait(), opening.loading)

    def check(self) -> None:
        """Encode a grey picture and take one step.

        Raises BundleError, which names the model's folder, for weights that are not finite and for
        graphs that do not run on the CPU. On CUDA that may be the device's fault: DeviceError.
        """
        folder, image = self.bundle.folder, self.config.image
        grey = np.full((1, image.height, image.width, 3), 127, np.uint8)
        once = DecodeOptions(beam=1, max_words=1)
        try:
            self.captions.decode(self.graphs.encoder(grey), once, Constraints())
        except MemoryError:
            raise BundleError(
                f"{folder}: no memory for a grey picture of {image.width} x {image.height} pixels "
                "or its caption (at load); free memory or take a smaller model"
            ) from None
        except (NumericalError, ModelError) as error:
            raise BundleError(f"{folder}: {error} (at load); export the model again") from None

    def __reduce__(self) -> tuple[Callable[[Loading], "Captioner"], tuple[Loading]]:
        return _load_again, (self._loading,)

    def __copy__(self) -> "Captioner":
        return self

    def __deepcopy__(self, memo: object) -> "Captioner":
        return self

    @cached_property
    def gradient(self) -> "OpenGradient | None":
        """The graph for the short lists of searches, opened at first use, or None.

        Raises a ModelError where the file is damaged or belongs to another model.
        """
        if self.config.gradient is None:
            return None
        from mrnn_edge.engine.gradient import open_gradient

        return open_gradient(self.bundle, self.precision)

    @cached_property
    def sentences(self) -> "SentenceScorer":
        """Scores of sentences for image vectors, for callers that keep the vectors."""
        from mrnn_edge.language.sentences import SentenceScorer

        return SentenceScorer(
            step=self.graphs.step,
            vocabulary=self.bundle.vocabulary,
            space=self.space,
            prior=self.captions.prior,
            threads=self.graphs.threads,
        )

    def read(self, image: ImageSource, *, allow_truncated: bool = False) -> Picture:
        """Read a picture ahead, perhaps in another thread; the other calls accept the result.

        With `allow_truncated` a truncated or partly damaged file is read as far as possible, with a
        note. Raises an InputError.
        """
        return read_picture(image, self.config.image, allow_truncated=allow_truncated)

    def caption(
        self,
        image: ImageSource | Picture,
        *,
        beam: int | None = DecodeOptions.beam,
        nbest: int = DecodeOptions.nbest,
        sampling: Sampling | None = DecodeOptions.sampling,
        max_words: int = DecodeOptions.max_words,
        length_penalty: float | None = DecodeOptions.length_penalty,
        prefix: str = DecodeOptions.prefix,
        no_repeat_ngram: int = DecodeOptions.no_repeat_ngram,
        forbid: Sequence[str] = DecodeOptions.forbid,
        require: Sequence[str] = DecodeOptions.require,
        min_confidence: float | None = DecodeOptions.min_confidence,
    ) -> Caption:
        """Describe a picture: a path, bytes, file object, Pillow image or uint8 RGB [H, W, 3].

        A `Picture` that `read` returned is accepted too. `DecodeOptions` documents the options.
        Raises an InputError if the picture cannot be read or no sentence holds the required words,
        OptionError for an option out of range.
        """
        options = DecodeOptions(
            beam=beam,
            nbest=nbest,
            sampling=sampling,
            max_words=max_words,
            length_penalty=length_penalty,
            prefix=prefix,
            no_repeat_ngram=no_repeat_ngram,
            forbid=forbid,
            require=require,
            min_confidence=min_confidence,
        )
        (outcome,) = self.caption_batch([image], options)
        if isinstance(outcome, InputError):
            raise outcome
        return outcome

    def caption_batch(
        self, images: Sequence[ImageSource | Picture], options: DecodeOptions | None = None
    ) -> list[Caption | InputError]:
        """One outcome per picture, in order: its caption or its error.

        Raises OptionError for a single path or the bytes of one file in place of a list, for a
        required word that the vocabulary lacks, and for a minimum confidence where the model gives
        none. As every call it raises DeviceError, on the CPU ModelError, where a run fails
        twice, and ForkedSessionError in a child that was forked after the model was loaded.
        """
        if isinstance(images, str | bytes):
            raise OptionError("images is one picture; give a list, or call caption")
        options = options or DecodeOptions()
        constraints = self.captions.constraints(options)
        found: list[Picture | InputError] = []
        for image in images:
            try:
                found.append(as_picture(image, self.config.image))
            except InputError as error:
                found.append(error)
        pictures = [each for each in found if isinstance(each, Picture)]
        captions = iter(self._caption_all(pictures, options, constraints) if pictures else ())
        return [next(captions) if isinstance(each, Picture) else each for each in found]

    def _caption_all(
        self, pictures: list[Picture], options: DecodeOptions, constraints: Constraints
    ) -> list[Caption | InputError]:
        timer = StageTimer()
        timer.add("decode", sum(picture.decode_ms for picture in pictures) / 1000.0)
        several = [picture.pixels for picture in pictures]
        pixels = several[0][None] if len(several) == 1 else np.stack(several)  # one: no copy
        try:
            with timer("encode"):
                vectors = self.graphs.encoder(pixels)
            with timer("generate"):
                decoded = self.captions.decode(vectors, options, constraints)
        except NumericalError as error:
            if len(pictures) == 1:
                return [error]
            # The call fails for one bad picture: each is retried alone.
            return [self._caption_all([each], options, constraints)[0] for each in pictures]
        timing = timer.milliseconds(pictures=len(pictures))
        return [
            self.captions.caption(
                each, options, frames=picture.frames, notes=picture.notes, timing_ms=timing
            )
            for picture, each in zip(pictures, decoded, strict=True)
        ]

    def encode(self, image: ImageSource | Picture) -> Floats:
        """The image vector [M] of a picture. Raises an InputError."""
        pixels = as_picture(image, self.config.image).pixels
        vector: Floats = self.graphs.encoder(pixels[None])[0]
        return vector

    def score(
        self, image: ImageSource | Picture, sentences: Sequence[str]
    ) -> "list[SentenceScore]":
        """How likely each sentence is for the picture, in their order.

        Raises an InputError, and OptionError for a sentence without a word.
        """
        if isinstance(sentences, str):
            raise OptionError("sentences is one string; give a list of sentences")
        return self.sentences.score(self.encode(image), sentences)

    def rank(
        self,
        image: ImageSource | Picture,
        sentences: Iterable[str],
        *,
        best: int | None = None,
        prior: Prior | str | None = None,
    ) -> "list[RankedSentence]":
        """The sentences, best first by P(w | I) / P(w); the `best` of them, or all.

        `prior` (options.Prior) defaults to `train`; `mean` is faster by the number of groups of
        training pictures.
        A stream of sentences is read once and may be a file open as text: line ends and empty
        lines are dropped. Raises as `score` does.
        """
        if isinstance(sentences, str):
            raise OptionError("sentences is one string; give a list or a stream of sentences")
        if best is not None and best < 1:
            raise OptionError(f"best is {best}, expected 1 or more")
        lines = (line.strip("\r\n\ufeff") for line in sentences if line not in ("\n", "\r\n"))
        return list(self.sentences.rank(self.encode(image), lines, best=best, prior=prior))

    def watch(
        self,
        source: "Source",
        *,
        interval: float = 0.5,
        change_threshold: float = 0.15,
        hysteresis: float = 3.0,
        deadline_ms: float | None = None,
        every: int = 1,
        fps: float | None = None,
        options: DecodeOptions | None = None,
        reconnect: "ReconnectPolicy | None" = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> "Iterator[CaptionEvent]":
        """Describe a camera, a stream, a video or frames each time the scene changes.

        `source` is `0`, `/dev/video2`, a URL, a video, a folder of pictures, or any iterable of
        uint8 RGB arrays [H, W, 3]. `every` selects each n-th frame of a file, `fps` so many per
        second; for an iterable `fps` is its frame rate. camera.scene.WatchOptions documents the
        other options (`interval` in seconds, `hysteresis` in bits). A lost live source is reopened
        within the limits of `reconnect`. `on_notice` receives one-line status messages in the
        thread that takes the events. Raises a CameraError, a TruncatedVideoError after a cut
        download or unreadable pictures, MissingExtraError without OpenCV, OptionError.
        """
        from mrnn_edge.camera.frames import Selection, unheard
        from mrnn_edge.camera.scene import WatchOptions
        from mrnn_edge.camera.source import open_source
        from mrnn_edge.camera.watch import Watch, watch

        watching = WatchOptions(
            interval_s=interval,
            change_threshold=change_threshold,
            hysteresis_bits=hysteresis,
            deadline_ms=deadline_ms,
            decode=options or DecodeOptions(),
        )
        notice = on_notice or unheard
        frames = open_source(
            source, selection=Selection(every=every, fps=fps), policy=reconnect, notice=notice
        )
        try:
            scene = self.scene(watching, source=frames.name)
        except BaseException:
            frames.close()
            raise
        return watch(frames, Watch(scene, interval_s=interval, notice=notice))

    def scene(self, options: "WatchOptions", *, source: str) -> "Scene":
        """The part of `watch` that describes frames, for callers with a loop of their own.

        `source` is the name in the records. Raises OptionError as `caption_batch` does.
        """
        from mrnn_edge.camera.scene import Scene

        return Scene(
            encode=self.graphs.encoder,
            captions=self.captions,
            image=self.config.image,
            options=options,
            source=source,
        )


def _load_again(loading: Loading) -> Captioner:
    """Unpickle. Raises BundleError where the folder now holds another model."""
    options = {name: value for name, value in vars(loading).items() if name != "id"}
    captioner = Captioner.load(**options)
    if captioner.config.id != loading.id:
        raise BundleError(
            f"{loading.model} has id {captioner.config.id}, the pickled captioner had "
            f"{loading.id}; the model was replaced: load it, and pickle that"
        )
    return captioner
