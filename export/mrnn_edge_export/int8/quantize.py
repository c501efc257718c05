"""Quantise a model's float graphs to int8, measure them on dev, and write them or raise.

Takes a model folder and a data set; needs no training run. If the captions lose too much, the
layers that hurt most are left in float first.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from mrnn_edge.bundle.config import BundleConfig, GraphPair, GraphRole, Precision
from mrnn_edge.bundle.folder import Bundle, load_bundle, read_metrics
from mrnn_edge.bundle.write import describe_graph, to_json, write_bundle
from mrnn_edge.captioner import Captioner
from mrnn_edge.errors import InputError, ModelError, OptionError
from mrnn_edge.files import write_whole
from mrnn_edge.image.read import Pixels, read_pixels
from mrnn_edge.options import DecodeOptions
from mrnn_edge.timing import Track, untracked
from mrnn_edge.verify import answers
from mrnn_edge_export.card import check_card, render_card
from mrnn_edge_export.confidence_fit import fit_confidence
from mrnn_edge_export.int8.encoder import CalibratedEncoder, calibrate_encoder, worst_layers
from mrnn_edge_export.int8.step import quantize_step, sentence_feeds
from mrnn_edge_train.data.common import CaptionedImage, Split, complain_of_unreadable, spare
from mrnn_edge_train.data.datasets import read_sentences, read_split
from mrnn_edge_train.data.mixture import name_of
from mrnn_edge_train.evaluation.evaluate import Evaluation, evaluate, image_vectors

FLOAT_LAYERS: Final = (0, 4, 12)
"""Layers of the encoder left in float at each attempt."""
_FILES: Final = {GraphRole.ENCODER: "encoder.int8.onnx", GraphRole.STEP: "step.int8.onnx"}
_PROBES: Final = 8
"""Calibration pictures on which the layers are compared."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """The written model, and its figures before and after."""

    folder: Path
    config: BundleConfig
    float_graphs: GraphPair
    """The graphs before quantisation."""
    before: Evaluation
    after: Evaluation
    changed: float
    """Share of dev captions that differ from those of the float graphs."""
    float_layers: tuple[str, ...]
    unreadable: tuple[str, ...]
    """Names of unreadable training pictures, which calibration left out."""

    @property
    def int8_graphs(self) -> GraphPair:
        """The graphs after quantisation."""
        return self.config.precisions[Precision.INT8]

    @property
    def drop(self) -> float:
        """CIDEr lost on dev; negative if it rose."""
        return self.before.scores.cider - self.after.scores.cider


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Pictures for calibration and measurement."""

    calibration: tuple[CaptionedImage, ...]
    pixels: tuple[Pixels, ...]
    unreadable: tuple[str, ...]
    dev_sets: Mapping[str, tuple[CaptionedImage, ...]]
    """By the name of the data set."""
    known: frozenset[tuple[str, ...]]

    @property
    def dev(self) -> tuple[CaptionedImage, ...]:
        """Of all sets."""
        return tuple(chain.from_iterable(self.dev_sets.values()))


def quantize_model(
    model: str,
    out: Path | None,
    *,
    data: Sequence[Path],
    calibrate: int,
    max_drop: float,
    command: str,
    alone: bool = False,
    threads: int | None = None,
    track: Track = untracked,
) -> Quantized:
    """Give a model int8 graphs, as its default: in a new folder, or without one in place.

    With `alone` the new folder has the int8 graphs and no others: neither the float ones nor the
    gradient graph, without which a search reads all of an index.
    `calibrate` training pictures of all sets, evenly spread, and their sentences set the ranges;
    `max_drop` is the CIDEr that dev may lose; the confidence is fitted on dev; `command` is what
    the model card says made the graphs. In place config.json comes last: before it the model is
    what it was. Raises OptionError for a model that has int8 graphs already (name a folder) or no
    float ones, ModelError where too much is lost, BundleError, DatasetError or an InputError.
    """
    bundle = load_bundle(model)
    _check(bundle, out, alone=alone)
    if out is None:
        check_card(bundle)
    carried = _carried(bundle, alone=alone)
    before_captioner = Captioner.load(
        model, device="cpu", precision=Precision.FLOAT32, threads=threads
    )
    parts = _read_data(data, calibrate, bundle, track)
    before = _measure(before_captioner, parts, track)
    encoder = calibrate_encoder(
        bundle.graph(Precision.FLOAT32, GraphRole.ENCODER),
        parts.pixels,
        bundle.metadata(GraphRole.ENCODER),
    )
    step = _step(bundle, before_captioner, parts)
    for kept in _float_layers(encoder, parts, bundle, track):
        graphs = {GraphRole.ENCODER: encoder.quantize(float_layers=kept), GraphRole.STEP: step}
        name = out.name if out else bundle.config.name
        config = _config(bundle.config, graphs, name=name, alone=alone)
        files = {**carried, **{_FILES[role]: graphs[role] for role in graphs}}
        with _opened(config, files, threads=threads) as captioner:
            after = _measure(captioner, parts, track)
            reference = answers(captioner).to_dict()
            fine = before.scores.cider - after.scores.cider <= max_drop
            fitted = fit_confidence(captioner, parts.dev_sets, track=track) if fine else None
        config = replace(config, confidence=None if fitted is None else fitted.weights)
        done = Quantized(
            folder=out or bundle.folder,
            config=config,
            float_graphs=bundle.config.precisions[Precision.FLOAT32],
            before=before,
            after=after,
            changed=_changed(before, after),
            float_layers=kept,
            unreadable=parts.unreadable,
        )
        if done.drop <= max_drop:
            figures = _figures(done, calibrate=len(parts.pixels), command=command)
            metrics = {**read_metrics(bundle.folder), "int8": {**figures, "reference": reference}}
            metrics |= {} if fitted is None else {"confidence": dict(fitted.figures)}
            _write(done, files, metrics, in_place=out is None)
            return done
    raise ModelError(
        f"int8 takes {done.drop:.4f} CIDEr of dev ({before.scores.cider:.4f} to "
        f"{after.scores.cider:.4f}), {len(kept)} layers left in float; the limit is {max_drop:g}: "
        "calibrate on more pictures, or allow more with --max-drop"
    )


def _float_layers(
    encoder: CalibratedEncoder, parts: _Data, bundle: Bundle, track: Track
) -> Iterator[tuple[str, ...]]:
    """The layers to leave in float at each attempt; ranked after the first has failed."""
    order: tuple[str, ...] = ()
    for count in FLOAT_LAYERS:
        if count and not order:
            order = worst_layers(encoder, np.stack(parts.pixels[:_PROBES]), bundle, track=track)
        yield order[:count]


def _measure(captioner: Captioner, parts: _Data, track: Track) -> Evaluation:
    vectors = image_vectors(captioner, parts.dev, track=track)
    return evaluate(
        captioner, parts.dev, vectors, parts.known, DecodeOptions(), meteor=False, track=track
    )


def _check(bundle: Bundle, out: Path | None, *, alone: bool) -> None:
    config = bundle.config
    if alone and out is None:
        raise OptionError(
            "int8 graphs alone, but no new folder: the model would lose its float graphs; name one "
            "with --output"
        )
    if Precision.FLOAT32 not in config.precisions:
        raise OptionError(
            f"{config.name} has no float32 graphs to quantise; export the training run"
        )
    if out is None and Precision.INT8 in config.precisions:
        raise OptionError(
            f"{bundle.folder} has int8 graphs already; name a new folder with --output"
        )
    if out is not None and os.path.lexists(out):
        raise OptionError(f"{out} exists already; remove it or name another folder")


def _read_data(data: Sequence[Path], calibrate: int, bundle: Bundle, track: Track) -> _Data:
    train = [image for each in data for image in read_split(each, Split.TRAIN)]
    count = min(calibrate, len(train))
    chosen = [train[row * len(train) // count] for row in range(count)]
    pixels: dict[CaptionedImage, Pixels] = {}
    failures: dict[str, InputError] = {}
    for image in track(chosen, "read", count):
        try:
            pixels[image] = read_pixels(image.path, bundle.config.image)
        except InputError as error:
            failures[image.name] = error
    # As in training.
    allowed = min(spare(len(train)), count - 1)
    complain_of_unreadable(list(failures.values()), count, allowed=allowed)
    return _Data(
        calibration=tuple(pixels),
        pixels=tuple(pixels.values()),
        unreadable=tuple(failures),
        dev_sets={name_of(each): read_split(each, Split.DEV) for each in data},
        known=frozenset().union(*(read_sentences(each, Split.TRAIN) for each in data)),
    )


def _step(bundle: Bundle, captioner: Captioner, parts: _Data) -> bytes:
    encode = bundle.vocabulary.encode
    images, sentences = [], []
    for picture, image in zip(parts.pixels, parts.calibration, strict=True):
        vector = captioner.graphs.encoder(picture[None])[0]
        images += [vector] * len(image.sentences)
        sentences += [encode(words) for words in image.sentences]
    feeds = sentence_feeds(captioner.graphs.step, np.stack(images), sentences, captioner.space)
    return quantize_step(
        bundle.graph(Precision.FLOAT32, GraphRole.STEP), feeds, bundle.metadata(GraphRole.STEP)
    )


def _config(
    config: BundleConfig, graphs: Mapping[GraphRole, bytes], *, name: str, alone: bool
) -> BundleConfig:
    encoder, step = (
        describe_graph(_FILES[role], graphs[role]) for role in (GraphRole.ENCODER, GraphRole.STEP)
    )
    made = replace(
        config,
        name=name,
        precisions={Precision.INT8: GraphPair(encoder=encoder, step=step)},
        default_precision=Precision.INT8,
    )
    if alone:
        return replace(made, gradient=None)
    return replace(made, precisions={**config.precisions, **made.precisions})


def _carried(bundle: Bundle, *, alone: bool) -> dict[str, bytes]:
    """The unchanged files by name."""
    config = bundle.config
    pair = config.precisions[Precision.FLOAT32]
    graphs = () if alone else (pair.encoder, pair.step, config.gradient)
    entries = (*graphs, config.prior)
    names = ["vocab.json", *(entry.file for entry in entries if entry is not None)]
    return {name: (bundle.folder / name).read_bytes() for name in names}


@contextmanager
def _opened(
    config: BundleConfig, files: Mapping[str, bytes], *, threads: int | None
) -> Iterator[Captioner]:
    """The new model, opened from a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write_bundle(path, {"config.json": to_json(config.to_dict()), **files})
        yield Captioner.load(path, device="cpu", precision=Precision.INT8, threads=threads)


def _changed(before: Evaluation, after: Evaluation) -> float:
    pairs = zip(before.captions, after.captions, strict=True)
    return sum(one != other for one, other in pairs) / len(before.captions)


def _figures(done: Quantized, *, calibrate: int, command: str) -> dict[str, Any]:
    sides = {Precision.FLOAT32: done.before, Precision.INT8: done.after}
    return {
        "calibration_pictures": calibrate,
        "float_layers": list(done.float_layers),
        "dev": {
            "images": done.before.images,
            "cider": {str(side): found.scores.cider for side, found in sides.items()},
            "perplexity": {str(side): found.perplexity for side, found in sides.items()},
            "captions_changed": done.changed,
        },
        "command": command,
    }


def _write(
    done: Quantized,
    files: Mapping[str, bytes],
    metrics: Mapping[str, Any],
    *,
    in_place: bool,
) -> None:
    texts = {"metrics.json": to_json(metrics), "README.md": render_card(done.config, metrics)}
    config = to_json(done.config.to_dict())
    if not in_place:
        write_bundle(done.folder, {**files, **texts, "config.json": config})
        return
    graphs = {name: files[name] for name in _FILES.values()}
    for name, content in {**graphs, **texts, "config.json": config}.items():
        write_whole(done.folder / name, content)
